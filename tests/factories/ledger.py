"""A small exchange for tests of the money side: real rows, the real engine, no processes.

`Rig` does in plain statements what intake and the worker do in batches, so that a test can stop
between any two steps: accept, sequence, commit the engine's batch, settle.
"""

import time
from decimal import Decimal
from typing import Any

import psycopg

from exchange.domain.enums import OrderStatus
from exchange.domain.ids import IdGenerator
from exchange.domain.units import SymbolUnits, atoms_to_decimal
from exchange.models import Symbol
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import (
    BUY,
    FOK,
    GTC,
    IOC,
    SELL,
    STP_NONE,
    Command,
    Event,
    Place,
)
from matching.state.codec import encode_command, encode_journal
from matching.state.hash import state_hash
from orders.commands.build import amend_command, cancel_command, place_command
from orders.commands.words import SELF_TRADE_TEXTS
from orders.lifecycle import is_final
from orders.recording.fold import batch_changes
from orders.settlement.batch import settle_batch
from tests.factories.models import AccountFactory, SymbolFactory, funds_give
from wallets.fees import amend_extra_atoms, reservation_atoms, reservation_for_quote_amount

SIDES = {BUY: "buy", SELL: "sell"}
TIMES = {GTC: "gtc", IOC: "ioc", FOK: "fok"}
MAKER_PPM, TAKER_PPM = 500, 1_000
PARTITION = 1


def symbol_make(base: str = "BTC", quote: str = "USDT") -> Symbol:
    """A symbol with a tick of 0.01 and a lot of 0.0001: 100 quote atoms a tick-lot."""
    code = f"{base}-{quote}"
    known = Symbol.objects.select_related("base", "quote").filter(code=code).first()
    return known or SymbolFactory.create(
        code=code, base__scale=8, quote__scale=8, notional_min=Decimal("0.01")
    )


class Rig:
    """One symbol, its engine, and the rows around it. Prices in ticks, quantities in lots."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.symbol = symbol_make()
        self.units: SymbolUnits = self.symbol.units()
        self.engine = Engine()
        self.ids = IdGenerator(9, lambda: time.time_ns() // 1_000_000)
        self.pending: list[Sequenced] = []
        self.sides: dict[int, int] = {}
        # Whom and what a test's fixture put here.
        self.seller = self.buyer = self.open = 0
        self.trades: list[int] = []

    @property
    def book(self) -> Book:
        """The engine's book of the symbol."""
        return self.engine.book(self.symbol.pk)

    @property
    def base_id(self) -> int:
        return self.units.base_asset_id

    @property
    def quote_id(self) -> int:
        return self.units.quote_asset_id

    def trader(self, *, base: str = "0", quote: str = "0") -> int:
        account_id = AccountFactory.create().pk
        for asset_id, amount in ((self.base_id, base), (self.quote_id, quote)):
            if Decimal(amount):
                funds_give(account_id, asset_id, amount)
        return account_id

    def balance(self, account_id: int, asset_id: int) -> tuple[Decimal, Decimal]:
        row = self.connection.execute(
            "SELECT available, reserved FROM wallets_balance"
            " WHERE account_id = %s AND asset_id = %s",
            (account_id, asset_id),
        ).fetchone()
        return row or (Decimal(0), Decimal(0))

    def house(self, asset_id: int) -> Decimal:
        row = self.connection.execute(
            "SELECT available FROM wallets_balance JOIN wallets_account account"
            " ON account.id = account_id WHERE kind = 'house' AND asset_id = %s",
            (asset_id,),
        ).fetchone()
        return row[0] if row else Decimal(0)

    def reservation(self, order_id: int) -> Decimal | None:
        row = self.connection.execute(
            "SELECT amount FROM wallets_reservation WHERE order_id = %s", (order_id,)
        ).fetchone()
        return row[0] if row else None

    # --- accept

    def place(
        self,
        account_id: int,
        side: int,
        price_ticks: int,
        lots: int = 0,
        *,
        time_in_force: int = GTC,
        quote_atoms: int = 0,
        market: bool = False,
        self_trade_exempt: bool = False,
        sequence: bool = True,
        **more: Any,
    ) -> int:
        """Accept an order (row, reservation, balance) and give it to the engine; return its id.

        `more` are further arguments of `place_command`: `terms`, `post_only`, `self_trade`.
        """
        market = market or bool(quote_atoms)
        order_id = self.ids.next_id()
        if self_trade_exempt:
            more["self_trade"] = STP_NONE
        command = place_command(
            order_id=order_id,
            symbol_id=self.symbol.pk,
            account_id=account_id,
            side=side,
            price_ticks=price_ticks,
            quantity_lots=lots,
            time_in_force=IOC if market else time_in_force,
            market=market,
            budget_ticklots=quote_atoms // self.units.quote_atoms_per_ticklot,
            **more,
        )
        atoms = (
            reservation_for_quote_amount(quote_atoms, taker_fee_ppm=TAKER_PPM)
            if quote_atoms
            else self.need(command)
        )
        with self.connection.transaction():
            self.order_insert(command)
            self.reservation_insert(command, atoms)
        if sequence:
            self.apply(command)
        return order_id

    def need(self, place: Place) -> int:
        """Return the atoms that an order of so many lots reserves when it is accepted."""
        lots, ticks = place.quantity_lots, place.price_ticks
        return reservation_atoms(place.side, lots, ticks, self.units, 0, TAKER_PPM)

    def order_insert(self, place: Place, list_id: int | None = None) -> None:
        """Insert the rows of an accepted order, except its reservation."""
        order_id, lots = place.order_id, place.quantity_lots
        price = self.units.price(place.price_ticks)
        budget = place.budget_ticklots * self.units.quote_atoms_per_ticklot
        self.sides[order_id] = place.side
        self.connection.execute(
            "INSERT INTO orders_clientorderid (account_id, client_order_id, order_id,"
            " fingerprint) VALUES (%s, %s, %s, '')",
            (place.account_id, f"c-{order_id}", order_id),
        )
        self.connection.execute(
            "INSERT INTO orders_order (id, account_id, symbol_id, client_order_id, side, type,"
            " time_in_force, post_only, self_trade, price, bound_price, quantity, quote_amount,"
            " list_id, status, filled, filled_quote, maker_fee_ppm, taker_fee_ppm, created_at,"
            " updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " 'new', 0, 0, %s, %s, now(), now())",
            (
                order_id, place.account_id, self.symbol.pk, f"c-{order_id}", SIDES[place.side],
                "market" if place.market else "limit", TIMES[place.time_in_force],
                place.post_only, SELF_TRADE_TEXTS[place.self_trade],
                None if place.market else price, price if place.market else None,
                self.units.quantity(lots) if lots else None,
                self.units.quote_decimal(budget) if budget else None, list_id,
                MAKER_PPM, TAKER_PPM,
            ),
        )  # fmt: skip

    def reservation_insert(
        self,
        place: Place,
        atoms: int,
        *,
        pool_id: int | None = None,
        funded_by: int | None = None,
        left_lots: int | None = None,
    ) -> None:
        """Insert an accepted order's reservation and take it from the available funds."""
        asset_id = self.quote_id if place.side == BUY else self.base_id
        self._reserve(place.account_id, asset_id, atoms)
        self.connection.execute(
            "INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side,"
            " price_ticks, amount, maker_fee_ppm, taker_fee_ppm, fee_accrued, pool_id, funded_by,"
            " left_lots) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s, %s)",
            (
                place.order_id, place.account_id, asset_id, self.symbol.pk, SIDES[place.side],
                place.price_ticks, atoms_to_decimal(atoms, 8), MAKER_PPM, TAKER_PPM,
                pool_id, funded_by, left_lots,
            ),
        )  # fmt: skip

    def cancel(self, order_id: int) -> int:
        command_id = self.ids.next_id()
        command = cancel_command(command_id=command_id, symbol_id=self.symbol.pk, order_id=order_id)
        self._command_row(command, "cancel", order_id, 0)
        self.apply(command)
        return command_id

    def amend(
        self,
        order_id: int,
        *,
        price_ticks: int = 0,
        lots: int = 0,
        sequence: bool = True,
        keep_priority: bool = False,
    ) -> bool:
        """Amend as intake does: reserve the extra from what is known, then send the command."""
        row = self.connection.execute(
            "SELECT account_id, price, quantity, filled, status FROM orders_order WHERE id = %s",
            (order_id,),
        ).fetchone()
        assert row is not None
        account_id, price, quantity, filled, status = row
        held = self.connection.execute(
            "SELECT pending_amend_id, asset_id FROM wallets_reservation WHERE order_id = %s",
            (order_id,),
        ).fetchone()
        if held is None or held[0] is not None or is_final(OrderStatus(status)):
            return False
        known_lots = self.units.quantity_lots(quantity)
        extra = amend_extra_atoms(
            self.sides[order_id],
            filled_lots=self.units.quantity_lots(filled),
            price_ticks=self.units.price_ticks(price),
            quantity_lots=known_lots,
            new_price_ticks=price_ticks or self.units.price_ticks(price),
            new_quantity_lots=lots or known_lots,
            units=self.units,
            taker_fee_ppm=TAKER_PPM,
        )
        if self.balance(account_id, held[1])[0] < atoms_to_decimal(extra, 8):
            return False
        command = amend_command(
            command_id=self.ids.next_id(),
            symbol_id=self.symbol.pk,
            order_id=order_id,
            price_ticks=price_ticks,
            quantity_lots=lots,
            keep_priority=keep_priority,
        )
        with self.connection.transaction():
            self._reserve(account_id, held[1], extra)
            self.connection.execute(
                "UPDATE wallets_reservation SET amount = amount + %s, pending_amend_id = %s"
                " WHERE order_id = %s",
                (atoms_to_decimal(extra, 8), command.command_id, order_id),
            )
            self._command_row(command, "amend", order_id, extra)
        if sequence:
            self.apply(command)
        return True

    def _command_row(self, command, kind: str, order_id: int, extra_atoms: int) -> None:
        self.connection.execute(
            "INSERT INTO orders_command (id, partition_id, kind, symbol_id, order_id, payload,"
            " reserved_extra, note, created_at) VALUES (%s, 1, %s, %s, %s, %s, %s, '', now())",
            (
                command.command_id,
                kind,
                self.symbol.pk,
                order_id,
                encode_command(command),
                atoms_to_decimal(extra_atoms, 8),
            ),
        )

    def _reserve(self, account_id: int, asset_id: int, atoms: int) -> None:
        amount = atoms_to_decimal(atoms, 8)
        self.connection.execute(
            "UPDATE wallets_balance SET available = available - %s, reserved = reserved + %s,"
            " version = version + 1 WHERE account_id = %s AND asset_id = %s",
            (amount, amount, account_id, asset_id),
        )

    # --- sequence, commit, settle

    def apply(self, command: Command) -> list[Event]:
        events = self.engine.apply(command)
        self.pending.append(Sequenced(self.engine.sequence, command, events))
        return events

    def commit(self) -> list[int]:
        """Write what the engine did as one batch of the worker; return the trade ids."""
        rows, self.pending = self.pending, []
        if not rows:
            return []
        changes = batch_changes(rows)
        trade_ids = [self.ids.next_id() for _ in changes.trades]
        with self.connection.transaction():
            for change in changes.orders.values():
                self._order_write(change)
            for command_id, (sequence, refusal) in changes.commands.items():
                self.connection.execute(
                    "UPDATE orders_command SET engine_seq = %s, refusal = %s WHERE id = %s",
                    (sequence, refusal, command_id),
                )
            for trade_id, (symbol_id, sequence, trade) in zip(
                trade_ids, changes.trades, strict=True
            ):
                self._trade_write(trade_id, symbol_id, sequence, trade)
            self._journal_write(rows, trade_ids)
        return trade_ids

    def _order_write(self, change) -> None:
        price = self.units.price(change.price_ticks) if change.price_ticks else None
        quantity = self.units.quantity(change.quantity_lots) if change.quantity_lots else None
        self.connection.execute(
            "UPDATE orders_order SET status = COALESCE(%s, status), reason = %s, price ="
            " COALESCE(%s, price),"
            " quantity = COALESCE(%s, quantity), filled = filled + %s,"
            " filled_quote = filled_quote + %s, engine_seq = COALESCE(engine_seq, %s),"
            " priority_seq = COALESCE(%s, priority_seq),"
            " finished_at = CASE WHEN %s THEN now() END WHERE id = %s",
            (
                change.status and change.status.value, change.reason, price, quantity,
                self.units.quantity(change.filled_lots),
                self.units.quote_decimal(
                    change.filled_ticklots * self.units.quote_atoms_per_ticklot
                ),
                change.engine_seq or None, change.priority_seq or None,
                change.has_ended(), change.order_id,
            ),
        )  # fmt: skip

    def _trade_write(self, trade_id: int, symbol_id: int, sequence: int, trade) -> None:
        lots, ticks = trade.quantity_lots, trade.price_ticks
        self.connection.execute(
            "INSERT INTO orders_trade (id, symbol_id, engine_seq, price, quantity, quote_amount,"
            " maker_order_id, taker_order_id, maker_account_id, taker_account_id, taker_side,"
            " created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            (
                trade_id, symbol_id, sequence, self.units.price(ticks), self.units.quantity(lots),
                self.units.quote_decimal(self.units.notional_atoms(ticks, lots)),
                trade.maker_order_id, trade.taker_order_id, trade.maker_account_id,
                trade.taker_account_id, SIDES[trade.taker_side],
            ),
        )  # fmt: skip

    def _journal_write(self, rows: list[Sequenced], trade_ids: list[int]) -> None:
        hexdigest = state_hash(self.engine)
        last_seq = rows[-1].sequence
        self.connection.execute(
            "INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events,"
            " frames, trade_ids, state_hash, created_at)"
            " VALUES (%s, 1, %s, %s, %s, '', %s::bigint[], %s, now())",
            (PARTITION, rows[0].sequence, last_seq, encode_journal(rows), trade_ids, hexdigest),
        )
        self.connection.execute(
            "UPDATE orders_enginepartition SET last_seq = %s, published_seq = %s, state_hash = %s"
            " WHERE id = %s",
            (last_seq, last_seq, hexdigest, PARTITION),
        )

    def settle(self) -> int:
        """Settle until nothing is left; return the number of batches."""
        batches = 0
        while settle_batch(self.connection, PARTITION) is not None:
            batches += 1
        return batches
