"""A partition after a restart: its engine, its feeds, its faults, and the symbols to halt.

A loaded engine must have the state hash that the last committed batch left, and its open orders
must equal those of the rows. Where they differ, symbols are halted before any other command is
applied: no trade is better than a trade on a wrong book.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import psycopg
import structlog

from exchange.domain.ids import IdGenerator
from exchange.domain.units import NotExact, SymbolUnits
from exchange.selectors import symbols_of_partition
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.engine.messages import CLOSED, HALT, OPEN, PHASE_NONE, Command
from matching.state.hash import StateHash, open_orders
from orders.commands.from_rows import command_from_row
from orders.markets.halts import halt_request
from orders.recovery.engine import Loading, engine_restore
from orders.recovery.feeds import SymbolFeed, feed_of
from orders.recovery.lease import Lease

log = structlog.get_logger(__name__)

FAULTS_MAX: Final = 10_000

# After so many faults of the worker's own commands within this time a retry would only fail again.
OWN_FAULTS_MAX: Final = 2
OWN_FAULTS_WITHIN_S: Final = 600

_FAULTS = """
SELECT command_id FROM orders_enginefault WHERE partition_id = %s
ORDER BY created_at DESC LIMIT %s
"""
_OWN_FAULTS = """
SELECT fault.symbol_id, count(*) FROM orders_enginefault AS fault
WHERE fault.partition_id = %s
  AND fault.created_at > clock_timestamp() - make_interval(secs => %s)
  AND NOT EXISTS (SELECT FROM orders_command WHERE id = fault.command_id)
  AND NOT EXISTS (SELECT FROM orders_order WHERE id = fault.command_id)
  AND NOT EXISTS (SELECT FROM orders_orderlist WHERE id = fault.command_id)
GROUP BY fault.symbol_id
"""
_STATES_WAITING = """
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE partition_id = %s AND kind = 'set_state' AND engine_seq IS NULL ORDER BY id
"""
_LAST_PRICE = "SELECT price FROM orders_trade WHERE symbol_id = %s ORDER BY id DESC LIMIT 1"


@dataclass(slots=True)
class Loaded:
    """A partition in memory, as its last committed batch left it."""

    engine: Engine
    hash: StateHash
    units: dict[int, SymbolUnits]
    feeds: dict[int, SymbolFeed]
    faulty_ids: frozenset[int]
    urgent: list[Command] = field(default_factory=list)
    is_hash_equal: bool = True  # no symbol is in doubt
    set_aside: frozenset[int] = frozenset()  # symbols for which the worker makes no commands
    blocked: frozenset[int] = frozenset()  # those of set_aside for which no command can be applied


def partition_load(
    connection: psycopg.Connection,
    lease: Lease,
    ids: IdGenerator,
    alive: Callable[[], object] = lambda: None,
) -> Loaded:
    """Load a partition as its last batch left it. Raises LeaseLost.

    Doubtful symbols are halted before any other command is applied. `alive` is called again and
    again while the load gets further.
    """
    started = time.monotonic()
    symbols = symbols_of_partition(connection, lease.partition_id)
    units = {one.symbol_id: one for one, _ in symbols}
    states = {one.symbol_id: state for one, state in symbols}
    loading = Loading(connection, lease, alive)
    restored = engine_restore(loading, units, states)
    engine = restored.engine
    loaded = Loaded(
        engine=engine,
        hash=restored.hash,
        units=units,
        feeds=_feeds(connection, lease, units),
        faulty_ids=_faulty_ids(connection, lease.partition_id),
        is_hash_equal=not restored.doubtful,
    )
    if restored.doubtful:
        _halt(connection, loaded, lease, ids, sorted(restored.doubtful), restored.note)
    _set_aside(connection, loaded, lease)
    loaded.urgent = _halts_waiting(connection, lease.partition_id)
    loading.moved()
    log.info(
        "matching.loaded",
        partition=lease.partition_id,
        sequence=lease.last_seq,
        open_orders=sum(len(open_orders(book)) for book in engine.books.values()),
        duration_ms=round((time.monotonic() - started) * 1_000),
        state_hash_equal=loaded.is_hash_equal,
    )
    return loaded


def _set_aside(connection: psycopg.Connection, loaded: Loaded, lease: Lease) -> None:
    """Set aside the symbols for which the worker's own commands failed again and again.

    The worker's own commands have no row that could be refused. Without them nothing of the symbol
    expires. Where unfinished work of the engine failed, no other command of the symbol can be
    applied.
    """
    rows = connection.execute(_OWN_FAULTS, (lease.partition_id, OWN_FAULTS_WITHIN_S))
    loaded.set_aside = frozenset(symbol_id for symbol_id, count in rows if count >= OWN_FAULTS_MAX)
    engine = loaded.engine
    loaded.blocked = frozenset(
        one for one in loaded.set_aside if one in engine.books and engine.needs_continue(one)
    )
    for symbol_id in loaded.set_aside:
        log.critical(
            "matching.symbol_set_aside",
            symbol_id=symbol_id,
            is_blocked=symbol_id in loaded.blocked,
            message="what the worker itself does here fails: repair it, then start it again",
        )


def _feeds(
    connection: psycopg.Connection, lease: Lease, units: Mapping[int, SymbolUnits]
) -> dict[int, SymbolFeed]:
    feeds = {}
    for symbol_id, one in units.items():
        last = connection.execute(_LAST_PRICE, (symbol_id,)).fetchone()
        feed = feeds[symbol_id] = feed_of(lease.feed_sequences, symbol_id)
        feed.last_ticks = _ticks_or_none(last[0], one) if last is not None else 0
    return feeds


def _ticks_or_none(price: Decimal, units: SymbolUnits) -> int:
    """Return the price in ticks, or 0 (no last price) where it is off the symbol's present grid."""
    try:
        return units.price_ticks(price)
    except NotExact as error:
        log.critical("matching.last_price_off_grid", symbol=units.code, error=repr(error))
        return 0


def _faulty_ids(connection: psycopg.Connection, partition_id: int) -> frozenset[int]:
    return frozenset(row[0] for row in connection.execute(_FAULTS, (partition_id, FAULTS_MAX)))


def _halt(
    connection: psycopg.Connection,
    loaded: Loaded,
    lease: Lease,
    ids: IdGenerator,
    symbol_ids: Iterable[int],
    note: str,
) -> None:
    waiting = _states_waiting(connection, lease.partition_id)
    last = {one.symbol_id: getattr(one, "state", OPEN) for one in waiting}
    with connection.transaction():
        for symbol_id in symbol_ids:
            book = loaded.engine.books[symbol_id]
            is_halted = last[symbol_id] == HALT if symbol_id in last else _stays_halted(book)
            if not is_halted and book.state != CLOSED:
                halt_request(
                    connection,
                    ids,
                    partition_id=lease.partition_id,
                    symbol_id=symbol_id,
                    note=note,
                )


def _stays_halted(book: Book) -> bool:
    """Tell whether only a command ends the halt: not an interruption, nor an opening under way."""
    advanced = book.advanced
    if book.state != HALT or advanced is None:
        return book.state == HALT
    is_interrupted = advanced.band is not None and advanced.band.phase != PHASE_NONE
    return advanced.uncross is None and not is_interrupted


def _halts_waiting(connection: psycopg.Connection, partition_id: int) -> list[Command]:
    """Return the halts that are not in force yet: they are applied before every waiting order.

    Earlier changes of the same symbol's state come with a halt: an older resume must not be applied
    after the halt and undo it.
    """
    waiting = _states_waiting(connection, partition_id)
    halts = {
        one.symbol_id: one.command_id for one in waiting if getattr(one, "state", OPEN) == HALT
    }
    return [one for one in waiting if one.command_id <= halts.get(one.symbol_id, 0)]


def _states_waiting(connection: psycopg.Connection, partition_id: int) -> list[Command]:
    """Return the unsequenced changes of market states, oldest first."""
    rows = connection.execute(_STATES_WAITING, (partition_id,))
    return [command_from_row(*row) for row in rows]
