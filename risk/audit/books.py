"""Check of B3: the open orders in Postgres are the engine's at its last checkpoint. Reads only.

A partition whose symbols have advanced state (matching/engine/advanced.py) keeps snapshots of its
engine. The newest snapshot is loaded, and the journal after it is applied again and must give the
same events. The state must then hash to the checkpoint, and its open orders must be the live rows.
Without a snapshot the rows alone must hash to the checkpoint.

A run reads every live order's row once, and for each partition with snapshots one snapshot and the
journal after it: the commands between two snapshots.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import psycopg

from exchange.domain.units import NotExact
from matching.engine.core import Engine
from matching.engine.resting import RestingOrder
from matching.engine.versions import RULES_NOW
from matching.state.codec import decode_journal
from matching.state.hash import state_hash
from matching.state.snapshot import SnapshotRefused, snapshot_decode
from risk.audit import open_orders
from risk.audit.inputs import Position, SymbolRow, reservations_count, rows_stream
from risk.audit.open_orders import OpenOrder, Row
from wallets.reconciliation import BREACHES_MAX, Breach

# Five times the commands between two snapshots: with more, the writing of snapshots has failed.
REPLAYED_MAX: Final = 100_000
REPLAYED_PER_OPEN_ORDER: Final = 1  # or so many, where this is more
# Raised by loading a snapshot or replaying a journal with impossible content.
_UNREADABLE: Final = (
    SnapshotRefused,
    msgspec.MsgspecError,
    AssertionError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)

_SNAPSHOT: Final = """
SELECT last_seq, image FROM orders_engineimage
WHERE partition_id = %s AND last_seq <= %s ORDER BY last_seq DESC LIMIT 1
"""
_JOURNAL: Final = """
SELECT first_seq, last_seq, events FROM orders_enginejournal
WHERE partition_id = %s AND last_seq > %s AND last_seq <= %s ORDER BY last_seq
"""
JOURNAL_ROWS_PER_FETCH: Final = 100


@dataclass(slots=True)
class BooksReport:
    """The breaches of B3, and the part that was skipped."""

    breaches: list[Breach] = field(default_factory=list)
    skipped: str = ""

    def add(self, detail: str, symbol_id: int | None) -> None:
        """Add a breach; breaches beyond BREACHES_MAX are dropped."""
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(Breach("B3", detail, symbol_id=symbol_id))


@dataclass(slots=True)
class _Partition:
    """A partition's rebuilt engine (None: it cannot be compared), and its orders and lists."""

    position: Position
    engine: Engine | None
    has_snapshot: bool
    orders: dict[int, OpenOrder] = field(default_factory=dict)  # of the engine, by id
    lists: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # of rows, by id
    resting: dict[int, list[RestingOrder]] = field(default_factory=lambda: defaultdict(list))


def books_equal_checkpoints(
    connection: psycopg.Connection,
    at: Sequence[Position],
    known: Mapping[int, SymbolRow],
    *,
    full: bool,
) -> BooksReport:
    """Check B3 for every partition; `full` replays also more than REPLAYED_MAX commands."""
    report = BooksReport()
    partitions = {
        position.partition_id: _partition(connection, position, known, report, full=full)
        for position in at
    }
    try:
        for values in rows_stream(connection, open_orders.OPEN_ORDERS):
            row = Row(*values)
            partition = partitions.get(known[row.symbol_id].partition_id)
            if partition is not None and partition.engine is not None:
                _compare(partition, row, known[row.symbol_id], report)
        for partition in partitions.values():
            if partition.engine is not None:
                _conclude(partition, known, report)
    finally:
        for partition in partitions.values():
            if partition.engine is not None:
                _unlink(partition.engine)
    return report


def _partition(
    connection: psycopg.Connection,
    position: Position,
    known: Mapping[int, SymbolRow],
    report: BooksReport,
    *,
    full: bool,
) -> _Partition:
    found = connection.execute(_SNAPSHOT, (position.partition_id, position.last_seq)).fetchone()
    if found is None:
        return _Partition(position, Engine(), has_snapshot=False)
    snapshot_seq, snapshot = found
    missing = position.last_seq - snapshot_seq
    most = max(REPLAYED_MAX, REPLAYED_PER_OPEN_ORDER * reservations_count(connection))
    if missing > most and not full:
        report.skipped = (
            f"partition {position.partition_id}: its newest snapshot is {missing} commands old,"
            f" more than {most}"
        )
        return _Partition(position, None, has_snapshot=True)
    engine = _snapshot_engine(position, snapshot_seq, snapshot, known, report)
    if engine is None or not _replay(connection, position, engine, known, report):
        return _Partition(position, None, has_snapshot=True)
    engine.rules_set(RULES_NOW)  # the state of an older release must pass the rules of now
    partition = _Partition(position, engine, has_snapshot=True)
    for book in engine.books.values():
        partition.orders |= open_orders.of_engine(book)
    return partition


def _snapshot_engine(
    position: Position,
    snapshot_seq: int,
    snapshot: bytes,
    known: Mapping[int, SymbolRow],
    report: BooksReport,
) -> Engine | None:
    try:
        engine = snapshot_decode(snapshot)
        assert engine.sequence == snapshot_seq, f"it stands at {engine.sequence}"
    except _UNREADABLE as error:
        detail = f"the engine snapshot at {snapshot_seq} cannot be loaded: {error!r}"
        _breach_partition(position, detail, known, report)
        return None
    return engine


def _replay(
    connection: psycopg.Connection,
    position: Position,
    engine: Engine,
    known: Mapping[int, SymbolRow],
    report: BooksReport,
) -> bool:
    """Apply the journal after the snapshot; add a breach and return False where it does not fit."""
    for first_seq, last_seq, encoded in _journal_after(connection, position, engine.sequence):
        if first_seq != engine.sequence + 1:
            detail = f"the journal goes from {engine.sequence} to {first_seq}: no way to replay it"
            _breach_partition(position, detail, known, report)
            return False
        try:
            is_same = _replay_row(engine, encoded, report)
            assert engine.sequence == last_seq or not is_same, f"it ends at {engine.sequence}"
        except _UNREADABLE as error:
            detail = f"the journal row up to {last_seq} cannot be applied again: {error!r}"
            _breach_partition(position, detail, known, report)
            return False
        if not is_same:
            return False
    if engine.sequence != position.last_seq:
        detail = f"the journal ends at {engine.sequence}, the checkpoint is {position.last_seq}"
        _breach_partition(position, detail, known, report)
        return False
    return True


def _replay_row(engine: Engine, encoded: bytes, report: BooksReport) -> bool:
    for row in decode_journal(encoded):
        if engine.apply_again(row) != row.events:
            detail = f"command {row.sequence} gives other events when it is applied again"
            report.add(detail, row.command.symbol_id)
            return False
    return True


def _journal_after(
    connection: psycopg.Connection, position: Position, after_seq: int
) -> Iterator[tuple[int, int, bytes]]:
    with connection.cursor(name="audit_journal") as cursor:
        cursor.itersize = JOURNAL_ROWS_PER_FETCH
        yield from cursor.execute(_JOURNAL, (position.partition_id, after_seq, position.last_seq))


def _compare(partition: _Partition, row: Row, symbol: SymbolRow, report: BooksReport) -> None:
    """Compare one row against the rebuilt engine, or keep it to build the book from."""
    try:
        if not partition.has_snapshot:
            resting = open_orders.resting_order(row, symbol.units)
            partition.resting[row.symbol_id].append(resting)
            return
        ours = open_orders.of_row(row, symbol.units)
    except (NotExact, AssertionError, LookupError) as error:  # the worker leaves it out as well
        partition.orders.pop(row.order_id, None)
        report.add(f"order {row.order_id} cannot be in a book: {error!r}", row.symbol_id)
        return
    if row.list_id is not None:
        partition.lists[row.list_id].add(row.order_id)
    theirs = partition.orders.pop(row.order_id, None)
    if theirs is None:
        detail = f"order {row.order_id} is {row.status} and the engine does not have it"
        report.add(detail, row.symbol_id)
    elif ours != theirs:
        different = open_orders.difference(ours, theirs)
        report.add(f"order {row.order_id}: {different}", row.symbol_id)


def _conclude(partition: _Partition, known: Mapping[int, SymbolRow], report: BooksReport) -> None:
    """Compare all that no single row shows: states, lists, orders without a row, the hash."""
    engine, position = partition.engine, partition.position
    assert engine is not None
    states = {
        symbol_id: symbol.state
        for symbol_id, symbol in known.items()
        if symbol.partition_id == position.partition_id
    }
    if partition.has_snapshot:
        for symbol_id, state in states.items():
            if engine.book(symbol_id).state != state:
                report.add(f"symbol {symbol_id} is in another state than in the engine", symbol_id)
        for order_id, order in partition.orders.items():
            report.add(f"order {order_id} is open in the engine and has no row", order.symbol_id)
        _lists_compare(partition, engine, report)
    else:
        _fill(engine, states, partition.resting)
        engine.sequence = position.last_seq
    _invariants_check(engine, report)
    if position.last_seq and state_hash(engine) != position.state_hash:
        detail = f"open orders differ from the checkpoint at {position.last_seq}"
        _breach_partition(position, detail, known, report)


def _invariants_check(engine: Engine, report: BooksReport) -> None:
    """Check the invariants of every book (B1 among them), where this costs the engine no time."""
    for symbol_id in engine.books:
        try:
            engine.check_book(symbol_id)
        except AssertionError as error:
            report.add(f"the book of symbol {symbol_id} breaks an invariant: {error!r}", symbol_id)


def _lists_compare(partition: _Partition, engine: Engine, report: BooksReport) -> None:
    """Check that the engine links exactly the live orders of each list."""
    linked: dict[int, tuple[int, set[int]]] = {}
    for symbol_id, book in engine.books.items():
        if book.advanced is not None:
            for one in book.advanced.list_of.values():
                linked[one.list_id] = (symbol_id, set(one.order_ids))
    for list_id, (symbol_id, order_ids) in linked.items():
        if partition.lists.pop(list_id, set()) != order_ids:
            detail = f"list {list_id} links {sorted(order_ids)} in the engine, not in the rows"
            report.add(detail, symbol_id)
    for list_id, order_ids in partition.lists.items():
        if len(order_ids) > 1:
            report.add(f"list {list_id} has live orders that the engine does not link", None)


def _fill(
    engine: Engine, states: Mapping[int, int], resting: Mapping[int, list[RestingOrder]]
) -> None:
    """Build books without advanced state; the caller compares the hash afterwards."""
    for symbol_id, state in states.items():
        book = engine.book(symbol_id)
        book.state = state
        for order in resting.get(symbol_id, ()):
            book.add(order)


def _breach_partition(
    position: Position, detail: str, known: Mapping[int, SymbolRow], report: BooksReport
) -> None:
    """Add a breach of every symbol of a partition, because the symbol itself is unknown."""
    for symbol_id, symbol in known.items():
        if symbol.partition_id == position.partition_id:
            report.add(f"partition {position.partition_id}: {detail}", symbol_id)


def _unlink(engine: Engine) -> None:
    """Empty the books: the links of resting orders are cycles that the collector does not free."""
    for book in engine.books.values():
        for order in list(book.orders.values()):
            book.remove(order)
