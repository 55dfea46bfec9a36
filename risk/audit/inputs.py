"""Inputs of the audit's checks: positions of partitions, symbols, big results in pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg

from exchange.domain.enums import Side, SymbolState
from exchange.domain.units import SymbolUnits
from matching.engine.messages import (
    AUCTION,
    AUCTION_CUTOFF,
    BUY,
    CANCEL_ONLY,
    CLOSED,
    HALT,
    OPEN,
    POST_ONLY,
    PRE_OPEN,
    SELL,
)

ROWS_PER_FETCH: Final = 5_000

SIDES: Final = {Side.BUY.value: BUY, Side.SELL.value: SELL}
_STATES: Final = {
    SymbolState.OPEN.value: OPEN,
    SymbolState.HALT.value: HALT,
    SymbolState.PRE_OPEN.value: PRE_OPEN,
    SymbolState.AUCTION.value: AUCTION,
    SymbolState.AUCTION_CUTOFF.value: AUCTION_CUTOFF,
    SymbolState.POST_ONLY.value: POST_ONLY,
    SymbolState.CANCEL_ONLY.value: CANCEL_ONLY,
    SymbolState.CLOSED.value: CLOSED,
}
assert set(_STATES) == {state.value for state in SymbolState}


def journal_mark(partition_id: int) -> str:
    """Return the name of the mark up to which a partition's settled journal rows are verified."""
    return f"journal:{partition_id}"


@dataclass(frozen=True, slots=True)
class Position:
    """A partition's checkpoint and settlement cursor in one snapshot.

    `lag_seconds` is the age of the oldest journal row that is not settled.
    """

    partition_id: int
    last_seq: int
    settled_seq: int
    state_hash: str
    lag_seconds: float


_POSITIONS: Final = """
SELECT engine.id, engine.last_seq, coalesce(cursor.last_seq, 0), engine.state_hash,
    coalesce(extract(epoch FROM now() - (
        SELECT journal.created_at FROM orders_enginejournal journal
        WHERE journal.partition_id = engine.id AND journal.last_seq > coalesce(cursor.last_seq, 0)
        ORDER BY journal.last_seq LIMIT 1)), 0)::float8
FROM orders_enginepartition engine
LEFT JOIN orders_settlementcursor cursor ON cursor.partition_id = engine.id ORDER BY engine.id
"""
_SYMBOLS: Final = """
SELECT symbol.id, symbol.code, symbol.base_id, symbol.quote_id, base.scale, quote.scale,
    symbol.tick, symbol.lot, symbol.partition_id, symbol.state
FROM exchange_symbol symbol JOIN exchange_asset base ON base.id = symbol.base_id
JOIN exchange_asset quote ON quote.id = symbol.quote_id ORDER BY symbol.id
"""


def positions(connection: psycopg.Connection) -> list[Position]:
    """Return every partition's position."""
    return [Position(*row) for row in connection.execute(_POSITIONS).fetchall()]


def reservations_count(connection: psycopg.Connection) -> int:
    """Return the number of live orders of all partitions, and of ended ones not settled yet."""
    row = connection.execute("SELECT count(*) FROM wallets_reservation").fetchone()
    assert row is not None
    return int(row[0])


class SymbolRow(NamedTuple):
    """A symbol's units, its partition and its market state as the engine's number."""

    units: SymbolUnits
    partition_id: int
    state: int


def symbols(connection: psycopg.Connection) -> dict[int, SymbolRow]:
    """Return all symbols by id."""
    found = {}
    for row in connection.execute(_SYMBOLS).fetchall():
        units = SymbolUnits.build(
            symbol_id=row[0],
            code=row[1],
            base_asset_id=row[2],
            quote_asset_id=row[3],
            base_scale=row[4],
            quote_scale=row[5],
            tick=row[6],
            lot=row[7],
        )
        found[row[0]] = SymbolRow(units, row[8], _STATES[row[9]])
    return found


def rows_stream(connection: psycopg.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a big result, fetching ROWS_PER_FETCH at a time."""
    with connection.cursor(name="audit") as cursor:
        cursor.itersize = ROWS_PER_FETCH
        yield from cursor.execute(query)
