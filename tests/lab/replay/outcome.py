"""Wait until all of a replay is sequenced and settled, then read its trades."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from config.demo.flow import FlowTrade
from tests.lab.replay.terms import ReplayTerms

POLL_SECONDS: Final = 0.05
LINE_SECONDS: Final = 5.0
# Without progress for this long something is broken, and waiting would hide it.
STANDSTILL_SECONDS: Final = 60.0
TRADES_PER_FETCH: Final = 2_000

_STATE = """
SELECT partition.last_seq, cursor.last_seq,
    EXISTS (SELECT FROM orders_order WHERE engine_seq IS NULL AND symbol_id = %(symbol)s)
    OR EXISTS (SELECT FROM orders_command WHERE engine_seq IS NULL AND symbol_id = %(symbol)s)
FROM orders_enginepartition partition
JOIN orders_settlementcursor cursor ON cursor.partition_id = partition.id
WHERE partition.id = %(partition)s
"""

_TRADES = """
SELECT trade.price, trade.quantity, trade.taker_side, trade.created_at,
    maker.client_order_id, taker.client_order_id
FROM orders_trade trade
JOIN orders_order maker ON maker.id = trade.maker_order_id
JOIN orders_order taker ON taker.id = trade.taker_order_id
WHERE trade.symbol_id = %s
ORDER BY trade.engine_seq, trade.id
"""


class Standstill(Exception):
    """Accepted commands stay unsequenced or unsettled."""


@dataclass(frozen=True, slots=True)
class Drained:
    """Seconds from the call until everything was sequenced, and until everything was settled."""

    sequenced_seconds: float
    settled_seconds: float


@dataclass(frozen=True, slots=True)
class _State:
    sequence: int
    settled: int
    is_waiting: bool


def drained_wait(
    connection: psycopg.Connection[Any],
    *,
    symbol_id: int,
    partition_id: int,
    write: Callable[[str], object],
) -> Drained:
    """Return when every command of the symbol is sequenced and every event settled.

    Raises Standstill after STANDSTILL_SECONDS without progress.
    """
    started = moved_at = time.monotonic()
    line_at = started + LINE_SECONDS
    sequenced_seconds: float | None = None
    before: _State | None = None
    while True:
        state = _state(connection, symbol_id, partition_id)
        now = time.monotonic()
        if not state.is_waiting and sequenced_seconds is None:
            sequenced_seconds = now - started
        if not state.is_waiting and state.settled >= state.sequence:
            assert sequenced_seconds is not None
            return Drained(sequenced_seconds, now - started)
        if state != before:
            before, moved_at = state, now
        elif now - moved_at > STANDSTILL_SECONDS:
            raise Standstill(f"nothing has moved for {STANDSTILL_SECONDS:.0f} s: {state}")
        if now > line_at:
            line_at = now + LINE_SECONDS
            write(f"waiting: sequence {state.sequence:,}, settled to {state.settled:,}")
        time.sleep(POLL_SECONDS)


def _state(connection: psycopg.Connection[Any], symbol_id: int, partition_id: int) -> _State:
    row = connection.execute(_STATE, {"symbol": symbol_id, "partition": partition_id}).fetchone()
    assert row is not None, f"no partition {partition_id}"
    return _State(*row)


def trades_made(
    connection: psycopg.Connection[Any], terms: ReplayTerms, *, symbol_id: int
) -> Iterator[FlowTrade]:
    """Yield the trades of a replay in sequence, with the flow's order ids."""
    with (
        connection.transaction(),
        connection.cursor("replay_trades") as cursor,
    ):
        cursor.itersize = TRADES_PER_FETCH
        for price, quantity, taker_side, created_at, maker, taker in cursor.execute(
            _TRADES, (symbol_id,)
        ):
            maker_id, taker_id = terms.order_id(maker), terms.order_id(taker)
            buyer, seller = (taker_id, maker_id) if taker_side == "buy" else (maker_id, taker_id)
            time_ms = int(created_at.timestamp() * 1_000)
            yield FlowTrade(time_ms, price, quantity, buyer, seller, taker_side)
