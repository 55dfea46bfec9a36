"""An engine as the last committed batch left it: from a snapshot and the journal, or from rows.

Without any snapshot there never was advanced state, and the rows of open orders hold the whole
state. Otherwise the newest snapshot that can be loaded is taken, and the journal after it is
applied again: each command must give the events it gave before. Where no snapshot serves, the whole
journal is tried. Only an engine with the checkpoint's state hash is trusted (B3, D1).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
import structlog

from exchange.domain.enums import SymbolState
from exchange.domain.units import SymbolUnits
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import HALT, OPEN
from matching.engine.versions import RULES_NOW
from matching.state.codec import decode_journal
from matching.state.hash import StateHash, advanced_hash
from matching.worker.ports import LeaseLost
from orders.commands.words import STATES
from orders.recovery.lease import Lease, lease_extend
from orders.recovery.rows import books_differ, books_fill
from orders.recovery.snapshots import engines_kept, has_snapshots

JOURNAL_ROWS_PER_FETCH: Final = 200
PROGRESS_EVERY_S: Final = 2.0
# A load may take longer than a lease. A dead loader is still noticed at once, by its session.
LOADING_LEASE_S: Final = 120

_JOURNAL = """
SELECT events FROM orders_enginejournal WHERE partition_id = %s AND last_seq > %s AND last_seq <= %s
ORDER BY last_seq LIMIT %s
"""

log = structlog.get_logger(__name__)


class JournalBroken(Exception):
    """The journal does not lead from the engine's sequence to the checkpoint."""


@dataclass(slots=True)
class Restored:
    """A restored engine, and its doubtful symbols."""

    engine: Engine
    hash: StateHash
    doubtful: set[int]  # symbols that must not trade
    note: str = ""  # why


@dataclass(slots=True)
class Loading:
    """A load under way: it keeps the lease, and its process alive, while it gets further."""

    connection: psycopg.Connection
    lease: Lease
    alive: Callable[[], object]

    def moved(self) -> None:
        """Note that the load got further. Raises LeaseLost."""
        self.alive()
        lease_keep(self.connection, self.lease)


def engine_restore(
    loading: Loading, units: Mapping[int, SymbolUnits], states: Mapping[int, SymbolState]
) -> Restored:
    """Restore the partition's engine and name its doubtful symbols. Raises LeaseLost."""
    connection, lease = loading.connection, loading.lease
    loading.moved()
    if not has_snapshots(connection, lease.partition_id, lease.last_seq):
        return _from_rows(loading, units, states)
    restored = _from_snapshots(loading)
    if restored is None:
        return _rescued(loading, units, states)
    _symbols_add(restored.engine, units, states)
    differ = books_differ(connection, restored.engine, units, loading.moved)
    differ |= _states_differ(restored.engine, units, states)
    if restored.doubtful:
        restored.doubtful = set(restored.engine.books)
    elif differ:
        restored.doubtful, restored.note = differ, "the book differs from the rows of its orders"
    return restored


def lease_keep(connection: psycopg.Connection, lease: Lease) -> None:
    """Extend the lease while the partition is loaded. Raises LeaseLost."""
    if not lease_extend(connection, lease, seconds=LOADING_LEASE_S):
        raise LeaseLost(lease.epoch)


def hash_of(engine: Engine, kept: StateHash) -> str:
    """Return the state hash that a checkpoint of this engine has."""
    states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
    return kept.hexdigest(engine.sequence, states, advanced_hash(engine))


# --- from rows


def _from_rows(
    loading: Loading, units: Mapping[int, SymbolUnits], states: Mapping[int, SymbolState]
) -> Restored:
    lease = loading.lease
    engine = Engine()
    engine.sequence = lease.last_seq
    doubtful = _symbols_add(engine, units, states)
    doubtful |= books_fill(loading.connection, engine, units, moved=loading.moved)
    kept = StateHash.of(engine)
    loading.moved()
    if doubtful:  # the differing symbols are known: no hash needed
        return Restored(engine, kept, doubtful, "an open order here cannot be read")
    if not _is_hash_equal(engine, kept, lease):
        note = "the rebuilt book differs from the checkpoint"
        return Restored(engine, kept, set(engine.books), note)
    return Restored(engine, kept, set())


def _rescued(
    loading: Loading, units: Mapping[int, SymbolUnits], states: Mapping[int, SymbolState]
) -> Restored:
    """Take the orders from rows, so that they can be cancelled: nothing leads to the checkpoint."""
    lease = loading.lease
    log.critical(
        "matching.engine_lost",
        partition=lease.partition_id,
        sequence=lease.last_seq,
        message="no snapshot with its journal leads to the checkpoint; open orders are"
        " kept as their rows are, for cancelling; all that is not in rows is lost",
    )
    engine = Engine()
    engine.sequence = lease.last_seq
    _symbols_add(engine, units, states)
    books_fill(loading.connection, engine, units, is_rescue=True, moved=loading.moved)
    note = (
        "the engine's state could not be brought back: cancel its orders, then send its rules anew"
        " (manage.py symbol_rules --again) before it opens"
    )
    return Restored(engine, StateHash.of(engine), set(engine.books), note)


def _symbols_add(
    engine: Engine, units: Mapping[int, SymbolUnits], states: Mapping[int, SymbolState]
) -> set[int]:
    """Add books for symbols new to the engine; return those whose state needs a snapshot."""
    strange = set()
    for symbol_id in units:
        if symbol_id in engine.books:
            continue
        state = STATES[states[symbol_id]]
        # Every other state needs advanced state, so a snapshot holds it.
        engine.book(symbol_id).state = state if state in (OPEN, HALT) else OPEN
        if state not in (OPEN, HALT):
            strange.add(symbol_id)
    return strange


def _states_differ(
    engine: Engine, units: Mapping[int, SymbolUnits], states: Mapping[int, SymbolState]
) -> set[int]:
    differ = set()
    for symbol_id, one in units.items():
        state = engine.books[symbol_id].state
        if state != STATES[states[symbol_id]]:
            log.critical("matching.state_doubtful", symbol=one.code, engine=state)
            differ.add(symbol_id)
    return differ


# --- from snapshots and the journal


def _from_snapshots(loading: Loading) -> Restored | None:
    """Return the first engine that ends at the checkpoint, else one that differs by hash alone."""
    lease = loading.lease
    second_best: Restored | None = None
    for engine in _beginnings(loading.connection, lease):
        begun_seq = engine.sequence
        loading.moved()
        try:
            _follow(loading, engine)
        except JournalBroken as broken:
            log.critical(
                "matching.journal_broken",
                partition=lease.partition_id,
                image=begun_seq,
                sequence=engine.sequence,
                error=str(broken),
            )
            continue
        engine.rules_set(RULES_NOW)
        kept = StateHash.of(engine)
        loading.moved()
        log.info("matching.restored", partition=lease.partition_id, image=begun_seq)
        if _is_hash_equal(engine, kept, lease):
            return Restored(engine, kept, set())
        if second_best is None:
            note = "the restored engine differs from the checkpoint"
            second_best = Restored(engine, kept, set(engine.books), note)
    return second_best


def _beginnings(connection: psycopg.Connection, lease: Lease) -> Iterator[Engine]:
    yield from engines_kept(connection, lease.partition_id, lease.last_seq)
    log.warning("matching.no_image", partition=lease.partition_id, message="all of the journal")
    yield Engine()


def _follow(loading: Loading, engine: Engine) -> None:
    """Apply the journal up to the checkpoint. Raises JournalBroken and LeaseLost."""
    lease = loading.lease
    begun_seq, told_at = engine.sequence, time.monotonic()
    while engine.sequence < lease.last_seq:
        position = (lease.partition_id, engine.sequence, lease.last_seq, JOURNAL_ROWS_PER_FETCH)
        pages = loading.connection.execute(_JOURNAL, position).fetchall()
        loading.moved()
        if not pages:
            raise JournalBroken(f"nothing after {engine.sequence}")
        for (events,) in pages:
            for row in _rows_of(events, engine.sequence):
                _apply_again(engine, row)
        if time.monotonic() - told_at > PROGRESS_EVERY_S:
            told_at = time.monotonic()
            done = engine.sequence - begun_seq
            log.info(
                "matching.loading",
                partition=lease.partition_id,
                sequence=engine.sequence,
                percent=100 * done // (lease.last_seq - begun_seq),
            )


def _rows_of(events: bytes, sequence: int) -> list[Sequenced]:
    try:
        return decode_journal(events)
    except ValueError as error:
        raise JournalBroken(f"after {sequence}: {error}") from error


def _apply_again(engine: Engine, row: Sequenced) -> None:
    if row.sequence != engine.sequence + 1:
        raise JournalBroken(f"{row.sequence} comes after {engine.sequence}")
    try:
        events = engine.apply_again(row)
    except Exception as error:
        raise JournalBroken(f"at {row.sequence} the engine raised {error!r}") from error
    if events != row.events:
        raise JournalBroken(f"at {row.sequence}: {events}, and not {row.events}")


def _is_hash_equal(engine: Engine, kept: StateHash, lease: Lease) -> bool:
    if not lease.last_seq and not lease.state_hash:
        return True  # nothing was ever committed here
    rebuilt = hash_of(engine, kept)
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
