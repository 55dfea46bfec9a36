"""`manage.py bench_settlement`: trades a second of settlement alone, on a scratch database.

It creates a scratch database beside the configured one, fills it with accounts, reservations and
journal rows of synthetic trades, each of which fills two orders, settles them with the function of
the Celery task (seven entries a trade, durable commits), and drops the database.
"""

import random
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import psycopg
from django.core.management.base import BaseCommand
from django.db import connection as django_connection

from exchange.domain.ids import IdGenerator
from exchange.domain.units import SymbolUnits, atoms_to_decimal
from exchange.infra import partitions
from exchange.infra.database import connect
from exchange.models import Asset, Symbol
from matching.engine.journal import Sequenced
from matching.engine.messages import BUY, SELL, OrderAccepted, Place, Trade
from matching.state.codec import encode_journal
from orders.settlement.batch import settle_batch
from tests.lab.bench.venue import accounts_open
from wallets.fees import reservation_atoms

MAKER_PPM: Final = 500
TAKER_PPM: Final = 1_000
PRICE_TICKS: Final = 10_000
SPREAD_TICKS: Final = 50
LOTS_MAX: Final = 5_000
PARTITION: Final = 1
SIDE_TEXT: Final = {BUY: "buy", SELL: "sell"}


@dataclass(frozen=True, slots=True)
class SettlementRate:
    """The measured rate, and the times of batches in milliseconds."""

    trades: int
    seconds: float
    batch_ms_median: float
    batch_ms_max: float

    @property
    def trades_per_s(self) -> float:
        return self.trades / self.seconds


class Command(BaseCommand):
    help = "Measure settlement alone, in trades a second, on a scratch database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--trades", type=int, default=25_600)
        parser.add_argument("--batch", type=int, default=256, help="trades in one journal row")
        parser.add_argument("--accounts", type=int, default=200)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, **options: Any) -> None:
        name = django_connection.settings_dict["NAME"]
        django_connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            rate = measure(
                trades=options["trades"],
                batch=options["batch"],
                accounts=options["accounts"],
                seed=options["seed"],
            )
        finally:
            django_connection.creation.destroy_test_db(name, verbosity=0)
        self.stdout.write(
            f"{rate.trades_per_s:,.0f} trades/s ({rate.trades:,} trades in {rate.seconds:.2f} s, "
            f"batches of {options['batch']}: median {rate.batch_ms_median:.1f} ms, "
            f"longest {rate.batch_ms_max:.1f} ms)"
        )


def measure(*, trades: int, batch: int, accounts: int, seed: int) -> SettlementRate:
    """Fill the (empty) default database with synthetic trades and settle them all."""
    trades_make(trades=trades, batch=batch, accounts=accounts, seed=seed)
    durations: list[float] = []
    settled = 0
    with connect("settlement", keep_plans=True) as connection:
        began = time.perf_counter()
        while True:
            started = time.perf_counter()
            outcome = settle_batch(connection, PARTITION)
            if outcome is None:
                break
            durations.append((time.perf_counter() - started) * 1_000)
            settled += outcome.trades
        seconds = time.perf_counter() - began
    assert settled == trades, "every synthetic trade is settled"
    return SettlementRate(settled, seconds, statistics.median(durations), max(durations))


def trades_make(*, trades: int, batch: int, accounts: int, seed: int) -> None:
    """Fill the default database, where nothing has traded, with synthetic trades to settle."""
    with connect("bench", index_plans=False) as connection:
        partitions.ensure(connection, datetime.now(UTC))
        _fill(connection, trades=trades, batch=batch, accounts=accounts, seed=seed)
        connection.execute("VACUUM ANALYZE")


def _fill(
    connection: psycopg.Connection, *, trades: int, batch: int, accounts: int, seed: int
) -> None:
    units = _symbol().units()
    account_ids = accounts_open(connection, "settled", accounts)
    made = list(_trades(units, account_ids, trades, random.Random(seed)))
    _reservations(connection, units, made)
    _balances(connection, units)
    ids = IdGenerator(1_000, lambda: time.time_ns() // 1_000_000)
    for first in range(0, trades, batch):
        rows = [
            Sequenced(first + number, place, [_accepted(place), trade])
            for number, (place, trade) in enumerate(made[first : first + batch], start=1)
        ]
        connection.execute(
            "INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events,"
            " frames, trade_ids, state_hash, created_at)"
            " VALUES (%s, 1, %s, %s, %s, '', %s::bigint[], '', now())",
            (
                PARTITION,
                rows[0].sequence,
                rows[-1].sequence,
                encode_journal(rows),
                [ids.next_id() for _ in rows],
            ),
        )


def _symbol() -> Symbol:
    base, quote = (
        Asset.objects.get_or_create(code=code, defaults={"name": code, "scale": 8})[0]
        for code in ("BTC", "USDT")
    )
    return Symbol.objects.get_or_create(
        code="BTC-USDT",
        defaults={
            "base": base,
            "quote": quote,
            "tick": Decimal("0.01"),
            "lot": Decimal("0.0001"),
            "quantity_min": Decimal("0.0001"),
            "quantity_max": Decimal(1_000),
            "notional_min": Decimal("0.01"),
            "price_min": Decimal("0.01"),
            "price_max": Decimal(1_000_000),
            "partition_id": PARTITION,
        },
    )[0]


def _trades(
    units: SymbolUnits, account_ids: list[int], count: int, chance: random.Random
) -> Iterator[tuple[Place, Trade]]:
    ids = IdGenerator(1_001, lambda: time.time_ns() // 1_000_000)
    for _ in range(count):
        maker_account, taker_account = chance.sample(account_ids, 2)
        side = chance.choice((BUY, SELL))
        price_ticks = PRICE_TICKS + chance.randint(-SPREAD_TICKS, SPREAD_TICKS)
        lots = chance.randint(1, LOTS_MAX)
        maker_id, taker_id = ids.next_id(), ids.next_id()
        place = Place(
            taker_id, 0, units.symbol_id, taker_id, taker_account, side, price_ticks, lots
        )
        yield (
            place,
            Trade(maker_id, taker_id, maker_account, taker_account, side, price_ticks, lots, 0, 0),
        )


def _accepted(place: Place) -> OrderAccepted:
    return OrderAccepted(
        place.order_id, place.account_id, place.side, place.price_ticks, place.quantity_lots
    )


def _reservations(
    connection: psycopg.Connection, units: SymbolUnits, made: list[tuple[Place, Trade]]
) -> None:
    with connection.cursor().copy(
        "COPY wallets_reservation (order_id, account_id, asset_id, symbol_id, side, price_ticks,"
        " amount, maker_fee_ppm, taker_fee_ppm, fee_accrued) FROM STDIN"
    ) as copy:
        for place, trade in made:
            for order_id, account_id, side in (
                (trade.maker_order_id, trade.maker_account_id, 1 - place.side),
                (trade.taker_order_id, trade.taker_account_id, place.side),
            ):
                atoms = reservation_atoms(
                    side, trade.quantity_lots, trade.price_ticks, units, 0, TAKER_PPM
                )
                asset_id, scale = (
                    (units.quote_asset_id, units.quote_scale)
                    if side == BUY
                    else (units.base_asset_id, units.base_scale)
                )
                copy.write_row(
                    (
                        order_id,
                        account_id,
                        asset_id,
                        units.symbol_id,
                        SIDE_TEXT[side],
                        trade.price_ticks,
                        atoms_to_decimal(atoms, scale),
                        MAKER_PPM,
                        TAKER_PPM,
                        0,
                    )
                )


def _balances(connection: psycopg.Connection, units: SymbolUnits) -> None:
    """Insert balances whose reserved amounts are the sums of the reservations."""
    connection.execute(
        """
        INSERT INTO wallets_balance (account_id, asset_id, available, reserved, may_be_negative,
            version)
        SELECT account.id, asset.id, 0, coalesce((
            SELECT sum(held.amount) FROM wallets_reservation held
            WHERE held.account_id = account.id AND held.asset_id = asset.id), 0), false, 0
        FROM wallets_account account CROSS JOIN exchange_asset asset
        WHERE account.kind = 'user' AND asset.id IN (%s, %s)
        """,
        (units.base_asset_id, units.quote_asset_id),
    )
