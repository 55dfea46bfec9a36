"""orders.settlement's SQL does to the tables what its fold does in memory (S1)."""

import random
from decimal import Decimal

import psycopg
import pytest

from exchange.domain.units import atoms_to_decimal, decimal_to_atoms
from exchange.infra.database import connect
from matching.engine.journal import Sequenced
from matching.engine.messages import Trade
from matching.state.codec import encode_command, encode_journal
from orders.settlement import batch as settlement
from orders.settlement.batch import settle_batch
from tests.factories.ledger import PARTITION, SIDES, symbol_make
from tests.factories.models import AccountFactory
from tests.oracles.money.ledger import MemoryLedger
from tests.oracles.money.requests import Requests, run_history
from tests.oracles.money.tables import HOUSE, Row

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = 150
FUNDS = 10**8
SCALE = 8
NUMBERS = {word: code for code, word in SIDES.items()}


class MirroredLedger(MemoryLedger):
    """A ledger in memory whose every settlement also runs on the database, and must agree."""

    connection: psycopg.Connection
    compared = 0

    def settle(self) -> None:
        self._store()
        self._journal()
        while settle_batch(self.connection, PARTITION) is not None:
            pass
        super().settle()
        self._compare()

    def _store(self) -> None:
        """What intake wrote since the last settlement."""
        self.connection.execute("DELETE FROM wallets_reservation")
        for row in self.tables.rows.values():
            self.connection.execute(
                "INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side,"
                " price_ticks, amount, maker_fee_ppm, taker_fee_ppm, fee_accrued,"
                " pending_amend_id, pool_id, funded_by, left_lots)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    row.order_id, row.account_id, row.asset_id, row.symbol_id, SIDES[row.side],
                    row.price_ticks, atoms_to_decimal(row.atoms, SCALE), row.maker_fee_ppm,
                    row.taker_fee_ppm, row.accrued, row.pending_amend_id, row.pool_id,
                    row.funded_by, row.left_lots,
                ),
            )  # fmt: skip
        for (account_id, asset_id), amounts in self.tables.balances.items():
            if account_id != HOUSE:
                self.connection.execute(
                    "INSERT INTO wallets_balance (account_id, asset_id, available, reserved,"
                    " may_be_negative, version) VALUES (%s, %s, %s, %s, false, 0)"
                    " ON CONFLICT (account_id, asset_id) DO UPDATE"
                    " SET available = excluded.available, reserved = excluded.reserved",
                    (account_id, asset_id, *(atoms_to_decimal(one, SCALE) for one in amounts)),
                )

    def _journal(self) -> None:
        for batch in self._cut(self.unsettled):
            if batch:
                self._journal_row(batch)
        for row in self.unsettled:
            number = row.command.command_id
            if number in self.extras:
                self.connection.execute(
                    "INSERT INTO orders_command (id, partition_id, kind, symbol_id, payload,"
                    " reserved_extra, note, created_at)"
                    " VALUES (%s, 1, 'amend', %s, %s, %s, '', now())",
                    (
                        number,
                        row.command.symbol_id,
                        encode_command(row.command),
                        atoms_to_decimal(self.extras[number], SCALE),
                    ),
                )

    def _journal_row(self, batch: list[Sequenced]) -> None:
        first_seq, last_seq = batch[0].sequence, batch[-1].sequence
        trades = [event for row in batch for event in row.events if type(event) is Trade]
        trade_ids = [first_seq * 10_000 + at for at in range(len(trades))]
        self.connection.execute(
            "INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events,"
            " frames, trade_ids, state_hash, created_at)"
            " VALUES (1, 1, %s, %s, %s, '', %s::bigint[], '', now())",
            (first_seq, last_seq, encode_journal(batch), trade_ids),
        )

    def _compare(self) -> None:
        found = {
            row[0]: Row(
                order_id=row[0], account_id=row[1], asset_id=row[2], symbol_id=row[3],
                side=NUMBERS[row[4]], price_ticks=row[5], atoms=_atoms(row[6]),
                maker_fee_ppm=row[7], taker_fee_ppm=row[8], accrued=row[9],
                pending_amend_id=row[10], pool_id=row[11], funded_by=row[12], left_lots=row[13],
            )
            for row in self.connection.execute(
                "SELECT order_id, account_id, asset_id, symbol_id, side, price_ticks, amount,"
                " maker_fee_ppm, taker_fee_ppm, fee_accrued::bigint, pending_amend_id, pool_id,"
                " funded_by, left_lots FROM wallets_reservation ORDER BY order_id"
            ).fetchall()
        }  # fmt: skip
        tables = self.tables_of(found)
        assert tables.rows == self.tables.rows
        balances = {
            (account_id, asset_id): [_atoms(available), _atoms(reserved)]
            for account_id, asset_id, available, reserved in self.connection.execute(
                "SELECT account_id, asset_id, available, reserved FROM wallets_balance"
                " JOIN wallets_account account ON account.id = account_id WHERE kind = 'user'"
            ).fetchall()
        }
        known = self.tables.balances
        assert balances == {key: known[key] for key in known if key[0] != HOUSE}
        self.compared += 1


def _atoms(amount: Decimal) -> int:
    return decimal_to_atoms(amount, SCALE)


@pytest.mark.parametrize("seed", range(4))
def test_tables_agree_with_the_fold_in_memory(transactional_db, base_rows, monkeypatch, seed):
    symbols = [symbol_make(), symbol_make("ETH")]
    accounts = [account.pk for account in AccountFactory.create_batch(4)]
    chance = random.Random(seed)
    ledger = MirroredLedger(
        accounts, {symbol.pk: symbol.units() for symbol in symbols}, FUNDS, seed
    )
    monkeypatch.setattr(settlement, "EVENTS_PER_SETTLEMENT", chance.choice((1, 20, 512)))
    with connect("test-settlement-tables") as connection:
        ledger.connection = connection
        run_history(ledger, Requests(chance, ledger, accounts), COMMANDS)
    assert ledger.compared > 10
    assert ledger.seen["pool"] > 0
    assert ledger.seen["funded"] > 0
