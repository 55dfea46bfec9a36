"""From rows to the engine's world: commands out of rows, and a partition's books after a restart.

A loaded engine must have the very state hash that the last committed batch left. If it has not,
its symbols are halted before anything else is applied: better no trade than one on a wrong book.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import psycopg
import structlog
from psycopg.rows import dict_row

from exchange.domain.enums import OrderType
from exchange.domain.ids import IdGenerator, id_time_ms
from exchange.domain.units import NotExact, SymbolUnits
from exchange.realtime.publish import PLAIN_MARKET, MarketState
from matching.codec import decode_command, encode_command
from matching.engine import Engine
from matching.lease import Lease
from matching.messages import (
    HALT,
    OPEN,
    Command,
    Place,
    RefuseFaulty,
)
from matching.snapshot import StateHash
from orders.commands import place_command, set_state_command
from orders.resting import UNREADABLE, resting_orders
from orders.words import SELF_TRADES, SIDES, STATES, TIMES_IN_FORCE

log = structlog.get_logger(__name__)

FAULTS_MAX: Final = 10_000

# What command_from_order_row reads.
ORDER_COLUMNS: Final = (
    "id, account_id, symbol_id, side, type, time_in_force, post_only, self_trade, "
    "price, bound_price, quantity, quote_amount"
)
_SYMBOLS = """
SELECT symbol.id, symbol.code, symbol.state, symbol.tick, symbol.lot,
    base.id, quote.id, base.scale, quote.scale
FROM exchange_symbol AS symbol
JOIN exchange_asset AS base ON base.id = symbol.base_id
JOIN exchange_asset AS quote ON quote.id = symbol.quote_id
WHERE symbol.partition_id = %s
"""
_FAULTS = """
SELECT command_id FROM orders_enginefault WHERE partition_id = %s
ORDER BY created_at DESC LIMIT %s
"""
_HALTS_WAITING = """
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE partition_id = %s AND kind = 'set_state' AND engine_seq IS NULL ORDER BY id
"""
_LAST_PRICE = "SELECT price FROM orders_trade WHERE symbol_id = %s ORDER BY id DESC LIMIT 1"
INSERT_HALT: Final = """
INSERT INTO orders_command
    (id, partition_id, kind, symbol_id, payload, reserved_extra, note, created_at)
VALUES (%s, %s, 'set_state', %s, %s, 0, %s, clock_timestamp())
"""


@dataclass(slots=True)
class SymbolFeed:
    """Where a symbol's public feed stands."""

    sequence: int = 0  # of its depth channel
    last_ticks: int = 0  # price of the last trade, 0 before the first
    market: MarketState = PLAIN_MARKET  # what its state channel told last


@dataclass(slots=True)
class Loaded:
    """A partition in memory, as its last committed batch left it."""

    engine: Engine
    hash: StateHash
    units: dict[int, SymbolUnits]
    feeds: dict[int, SymbolFeed]
    faulty_ids: frozenset[int]
    urgent: list[Command] = field(default_factory=list)
    is_hash_equal: bool = True


def command_from_order_row(row: Mapping[str, Any], units: SymbolUnits) -> Place:
    """The command that intake published for this order, from its row (see ORDER_COLUMNS)."""
    market = row["type"] == OrderType.MARKET
    quantity: Decimal | None = row["quantity"]
    price: Decimal = row["bound_price"] if market else row["price"]
    return place_command(
        order_id=row["id"],
        symbol_id=row["symbol_id"],
        account_id=row["account_id"],
        side=SIDES[row["side"]],
        price_ticks=units.price_ticks(price),
        quantity_lots=units.quantity_lots(quantity) if quantity is not None else 0,
        time_in_force=TIMES_IN_FORCE[row["time_in_force"]],
        post_only=row["post_only"],
        market=market,
        budget_ticklots=_budget_ticklots(row["quote_amount"], units),
        self_trade=SELF_TRADES[row["self_trade"]],
    )


def _budget_ticklots(quote_amount: Decimal | None, units: SymbolUnits) -> int:
    """Tick-lots that a quote amount pays for, rounded down: never more than was reserved."""
    if quote_amount is None:
        return 0
    atoms = int(quote_amount.scaleb(units.quote_scale))
    return atoms // units.quote_atoms_per_ticklot


def units_load(connection: psycopg.Connection, partition_id: int) -> dict[int, SymbolUnits]:
    """The integer worlds of a partition's symbols, by symbol id."""
    return {row[0]: _units(row) for row in connection.execute(_SYMBOLS, (partition_id,))}


def _units(row: tuple[Any, ...]) -> SymbolUnits:
    return SymbolUnits.build(
        symbol_id=row[0],
        code=row[1],
        tick=row[3],
        lot=row[4],
        base_asset_id=row[5],
        quote_asset_id=row[6],
        base_scale=row[7],
        quote_scale=row[8],
    )


def partition_load(connection: psycopg.Connection, lease: Lease, ids: IdGenerator) -> Loaded:
    """Rebuild a partition's engine from its open orders and compare it with the checkpoint."""
    started = time.monotonic()
    symbols = connection.execute(_SYMBOLS, (lease.partition_id,)).fetchall()
    units = {row[0]: _units(row) for row in symbols}
    engine = Engine()
    engine.sequence = lease.last_seq
    orders, doubtful = resting_orders(connection, units)
    for row in symbols:
        engine.restore(row[0], STATES[row[2]], orders.get(row[0], ()))
    loaded = Loaded(
        engine=engine,
        hash=StateHash.of(engine),
        units=units,
        feeds=_feeds(connection, lease, units),
        faulty_ids=_faulty_ids(connection, lease.partition_id),
    )
    if doubtful:  # the difference from the checkpoint is known, and where it lies
        loaded.is_hash_equal = False
        _halt(connection, loaded, lease, ids, doubtful, "an open order here cannot be read")
    elif not _is_hash_equal(loaded, lease):
        loaded.is_hash_equal = False
        note = "the rebuilt book differs from the checkpoint"
        _halt(connection, loaded, lease, ids, engine.books.keys(), note)
    loaded.urgent = _halts_waiting(connection, lease.partition_id)
    log.info(
        "matching.loaded",
        partition=lease.partition_id,
        sequence=lease.last_seq,
        open_orders=sum(len(book.orders) for book in engine.books.values()),
        duration_ms=round((time.monotonic() - started) * 1_000),
        state_hash_equal=loaded.is_hash_equal,
    )
    return loaded


def _feeds(
    connection: psycopg.Connection, lease: Lease, units: Mapping[int, SymbolUnits]
) -> dict[int, SymbolFeed]:
    feeds = {}
    for symbol_id, one in units.items():
        last = connection.execute(_LAST_PRICE, (symbol_id,)).fetchone()
        feeds[symbol_id] = SymbolFeed(
            sequence=lease.feed_sequences.get(str(symbol_id), 0),
            last_ticks=_ticks_or_none(last[0], one) if last is not None else 0,
        )
    return feeds


def _ticks_or_none(price: Decimal, units: SymbolUnits) -> int:
    """The price in ticks, or 0 where the grid it stood on is gone: then there is no last price."""
    try:
        return units.price_ticks(price)
    except NotExact as error:
        log.critical("matching.last_price_off_grid", symbol=units.code, error=repr(error))
        return 0


def _faulty_ids(connection: psycopg.Connection, partition_id: int) -> frozenset[int]:
    return frozenset(row[0] for row in connection.execute(_FAULTS, (partition_id, FAULTS_MAX)))


def _is_hash_equal(loaded: Loaded, lease: Lease) -> bool:
    if not lease.last_seq and not lease.state_hash:
        return True  # nothing was ever committed here
    engine = loaded.engine
    states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
    rebuilt = loaded.hash.hexdigest(engine.sequence, states)
    if rebuilt == lease.state_hash:
        return True
    log.critical(
        "matching.state_hash_mismatch",
        partition=lease.partition_id,
        sequence=lease.last_seq,
        checkpoint=lease.state_hash,
        rebuilt=rebuilt,
    )
    return False


def _halt(
    connection: psycopg.Connection,
    loaded: Loaded,
    lease: Lease,
    ids: IdGenerator,
    symbol_ids: Iterable[int],
    note: str,
) -> None:
    with connection.transaction():
        for symbol_id in symbol_ids:
            if loaded.engine.books[symbol_id].state != HALT:
                halt_request(
                    connection,
                    ids,
                    partition_id=lease.partition_id,
                    symbol_id=symbol_id,
                    note=note,
                )


def halt_request(
    connection: psycopg.Connection,
    ids: IdGenerator,
    *,
    partition_id: int,
    symbol_id: int,
    note: str,
) -> None:
    """Write the command that halts a symbol; the worker finds it as any unsequenced row."""
    command = set_state_command(command_id=ids.next_id(), symbol_id=symbol_id, state=HALT)
    payload = encode_command(command)
    connection.execute(INSERT_HALT, (command.command_id, partition_id, symbol_id, payload, note))


def _halts_waiting(connection: psycopg.Connection, partition_id: int) -> list[Command]:
    """Halts that are not in force yet: they go before every order that waits.

    With a halt go the changes of its symbol that were asked for before it: a resume that waits
    longer than the halt must not undo it.
    """
    waiting = [
        command_from_row(*row) for row in connection.execute(_HALTS_WAITING, (partition_id,))
    ]
    halts = {
        one.symbol_id: one.command_id for one in waiting if getattr(one, "state", OPEN) == HALT
    }
    return [one for one in waiting if one.command_id <= halts.get(one.symbol_id, 0)]


def command_from_row(
    command_id: int, symbol_id: int, order_id: int | None, payload: bytes
) -> Command:
    """The command that a row of orders_command holds, or the refusal of one that holds none."""
    try:
        command = decode_command(payload)
        assert (command.command_id, command.symbol_id) == (command_id, symbol_id)
    except UNREADABLE as error:
        # A raise here would stop the whole partition at every start, for this one row.
        log.critical("matching.command_unreadable", command_id=command_id, error=repr(error))
        time_ms = id_time_ms(command_id)
        return RefuseFaulty(command_id, time_ms, symbol_id, order_id or 0, False)
    return command


def time_of(time_ms: int) -> datetime:
    """A Unix time in milliseconds as the datetime that rows keep."""
    seconds, rest_ms = divmod(time_ms, 1_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ms * 1_000)


def rows_as_dicts(connection: psycopg.Connection) -> "psycopg.Cursor[dict[str, Any]]":
    """A cursor whose rows are read by column name."""
    return connection.cursor(row_factory=dict_row)
