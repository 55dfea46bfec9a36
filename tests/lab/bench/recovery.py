"""Load a partition: from the rows of its open orders, and from a snapshot."""

import time
from dataclasses import dataclass
from typing import Final

import psycopg

from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from matching.engine.messages import ALL_ACCOUNTS, SetLimits
from matching.state.hash import state_hash
from matching.state.snapshot import snapshot_encode
from orders.recovery.lease import lease_acquire, lease_release
from orders.recovery.partition import Loaded, partition_load
from tests.lab.bench.venue import venue_open

FEW: Final = 10_000
MANY: Final = 100_000
RATIO_MAX: Final = 2.0  # cost of an order among MANY, divided by its cost among FEW
ORDERS_PER_LEVEL: Final = 200

_CROWD: Final = """
INSERT INTO orders_order (id, account_id, symbol_id, client_order_id, side, type, time_in_force,
    post_only, self_trade, price, quantity, status, filled, filled_quote, maker_fee_ppm,
    taker_fee_ppm, engine_seq, priority_seq, created_at, updated_at)
SELECT %(first_id)s + n, %(account)s, %(symbol)s, 'c' || n, 'sell', 'limit', 'gtc', false,
    'cancel_incoming', 10 + (n / %(per_level)s) * 0.01, 0.005, 'open', 0.001, 0.01,
    500, 1000, n, n, now(), now() FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS n
"""
_HELD: Final = """
INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side, price_ticks,
    amount, maker_fee_ppm, taker_fee_ppm, fee_accrued)
SELECT id, account_id, %s, symbol_id, side, 1000, 0, 500, 1000, 0 FROM orders_order
WHERE symbol_id = %s AND engine_seq BETWEEN %s AND %s
"""


@dataclass(frozen=True, slots=True)
class LoadingTimes:
    """Seconds until a partition was loaded."""

    few_rows: float
    many_rows: float
    many_snapshot: float

    @property
    def ratio(self) -> float:
        """The cost of an order among many, divided by its cost among few."""
        return self.many_rows / self.few_rows * FEW / MANY

    @property
    def is_good(self) -> bool:
        return self.ratio <= RATIO_MAX

    def lines(self) -> list[str]:
        return [
            f"{FEW:>7,} open orders, from rows    {self.few_rows:>8.2f} s",
            f"{MANY:>7,} open orders, from rows    {self.many_rows:>8.2f} s",
            f"{MANY:>7,} open orders, from a snapshot{self.many_snapshot:>8.2f} s",
            f"an order among many / among few {self.ratio:>8.2f}   (at most {RATIO_MAX:g})",
        ]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The symbol and account of resting orders that are written as rows, without an engine."""

    partition_id: int
    symbol_id: int
    account_id: int
    base_id: int
    first_id: int

    def add(self, connection: psycopg.Connection, low: int, high: int) -> None:
        """Insert the rows of orders number `low` to `high`, and their reservations."""
        values = {
            "first_id": self.first_id, "account": self.account_id, "symbol": self.symbol_id,
            "per_level": ORDERS_PER_LEVEL, "low": low, "high": high,
        }  # fmt: skip
        connection.execute(_CROWD, values)
        connection.execute(_HELD, (self.base_id, self.symbol_id, low, high))

    def snapshot_keep(
        self, connection: psycopg.Connection, loaded: Loaded, command_id: int
    ) -> None:
        """Give the loaded engine advanced state, and write its checkpoint and snapshot."""
        engine = loaded.engine
        engine.sequence = len(engine.books[self.symbol_id].orders)
        assert engine.apply(SetLimits(command_id, 0, self.symbol_id, ALL_ACCOUNTS, 0, 0))
        connection.execute(
            "INSERT INTO orders_engineimage (partition_id, last_seq, image, created_at)"
            " VALUES (%s, %s, %s, now())",
            (self.partition_id, engine.sequence, snapshot_encode(engine)),
        )
        connection.execute(
            "UPDATE orders_enginepartition SET last_seq = %s, state_hash = %s WHERE id = %s",
            (engine.sequence, state_hash(engine), self.partition_id),
        )


def load(partition_id: int, ids: IdGenerator) -> tuple[Loaded, float]:
    """Take the partition's lease, load it, release it; return what was loaded and the seconds."""
    with connect("bench-matching") as connection:
        lease = lease_acquire(connection, partition_id=partition_id, owner="bench")
        assert lease is not None, "a matching worker has this partition"
        began = time.perf_counter()
        loaded = partition_load(connection, lease, ids)
        seconds = time.perf_counter() - began
        lease_release(
            connection,
            lease,
            published_seq=lease.published_seq,
            stream_position=lease.stream_position,
        )
        return loaded, seconds


def loading() -> LoadingTimes:
    """Load few orders from rows, then many from rows, then the same many from a snapshot."""
    symbol, bots = venue_open(2)
    ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
    crowd = Crowd(symbol.partition_id, symbol.pk, bots[0].account_id, symbol.base_id, ids.next_id())
    with connect("bench", index_plans=False) as connection:
        connection.execute("SET statement_timeout = 0")
        crowd.add(connection, 1, FEW)
        _, few_rows = load(symbol.partition_id, ids)
        crowd.add(connection, FEW + 1, MANY)
        loaded, many_rows = load(symbol.partition_id, ids)
        crowd.snapshot_keep(connection, loaded, ids.next_id())
    again, many_snapshot = load(symbol.partition_id, ids)
    assert again.is_hash_equal
    return LoadingTimes(few_rows, many_rows, many_snapshot)
