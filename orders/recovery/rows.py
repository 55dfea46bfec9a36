"""Open orders from their rows: to fill books with, or to compare books with.

A row that cannot be an open order must not stop the partition at every start. The order is left out
and logged as critical, and its symbol is halted before anything trades on the incomplete book.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import psycopg
import structlog
from msgspec.structs import astuple
from psycopg.rows import dict_row

from exchange.domain.enums import OrderStatus
from exchange.domain.units import SymbolUnits
from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import PENDING, Waiting
from matching.engine.core import Engine
from matching.engine.messages import NO_TERMS, Place
from matching.engine.resting import RestingOrder, incoming
from matching.state.hash import open_order
from orders.commands.from_rows import ORDER_COLUMNS, UNREADABLE, command_from_order_row
from wallets.fragments import LIVE_ORDERS_OF_SYMBOLS

ROWS_PER_FETCH: Final = 5_000
TOLD_MAX: Final = 10  # orders of a symbol that are named in the log

# Found through reservations, which only live orders have: ended orders may number millions. A
# reservation outlives its order until settlement; the status tells.
_OPEN_ORDERS = f"""
SELECT {ORDER_COLUMNS}, status, filled, priority_seq FROM orders_order
WHERE id IN ({LIVE_ORDERS_OF_SYMBOLS})
  AND status IN ('open', 'partially_filled', 'waiting') AND engine_seq IS NOT NULL
ORDER BY priority_seq, id
"""  # noqa: S608 - column names of ours

_PLACE_FIRST: Final = Place.__struct_fields__.index("account_id")

Row = Mapping[str, Any]

log = structlog.get_logger(__name__)


class Doubts:
    """Symbols whose rows and books differ, and the number of differing orders of each."""

    def __init__(self, units: Mapping[int, SymbolUnits]) -> None:
        self.orders: Counter[int] = Counter()
        self._units = units

    def add(self, symbol_id: int, order_id: int, error: str) -> None:
        """Count a doubtful order; log the first TOLD_MAX of each symbol by id."""
        self.orders[symbol_id] += 1
        if self.orders[symbol_id] <= TOLD_MAX:
            log.critical("matching.open_order_doubtful", order_id=order_id, error=error)

    def symbol_ids(self) -> set[int]:
        """Log the doubtful symbols and return their ids."""
        for symbol_id, count in self.orders.items():
            code = self._units[symbol_id].code
            log.critical("matching.symbol_doubtful", symbol=code, orders=count)
        return set(self.orders)


def books_fill(
    connection: psycopg.Connection,
    engine: Engine,
    units: Mapping[int, SymbolUnits],
    *,
    is_rescue: bool = False,
    moved: Callable[[], object] = lambda: None,
) -> set[int]:
    """Put the open orders into empty books; return the ids of the symbols that are incomplete.

    `moved` is called again and again while it goes on, between two statements.

    Rows alone do not hold the state of orders that wait, or whose terms advanced state keeps. Such
    orders are put in, so that they can be cancelled, and their symbol counts as incomplete.
    `is_rescue` gives every book advanced state, so that the next batch is committed with a
    snapshot.
    """
    doubts = Doubts(units)
    for symbol_id in units:
        book = engine.book(symbol_id)
        if is_rescue and book.advanced is None:
            book.advanced = AdvancedState()
    last: dict[int, int] = dict.fromkeys(units, 0)
    for row in _open_rows(connection, units, moved):
        symbol_id = row["symbol_id"]
        book = engine.books[symbol_id]
        try:
            place = command_from_order_row(row, units[symbol_id])
            priority = row["priority_seq"]
            is_plain = place.terms is None and row["status"] != OrderStatus.WAITING
            assert priority >= last[symbol_id] + (is_plain and not is_rescue), "its place is taken"
            _take_in(book, place, row, units[symbol_id])
            last[symbol_id] = priority
        except UNREADABLE as error:
            doubts.add(symbol_id, row["id"], repr(error))
            continue
        if not is_plain:
            doubts.add(symbol_id, row["id"], "what it waits for is lost")
    return doubts.symbol_ids()


def books_differ(
    connection: psycopg.Connection,
    engine: Engine,
    units: Mapping[int, SymbolUnits],
    moved: Callable[[], object],
) -> set[int]:
    """Compare the open orders of all books with their rows (B3); return the symbols that differ.

    `moved` is called as in `books_fill`.
    """
    doubts = Doubts(units)
    known: Counter[int] = Counter()
    for row in _open_rows(connection, units, moved):
        symbol_id = row["symbol_id"]
        try:
            difference = _difference(engine.books[symbol_id], row, units[symbol_id])
        except UNREADABLE as error:
            difference = repr(error)
        known[symbol_id] += 1
        if difference:
            doubts.add(symbol_id, row["id"], difference)
    for symbol_id in units:
        book = engine.books[symbol_id]
        count = len(book.orders) + (len(book.advanced.waiting) if book.advanced is not None else 0)
        if count != known[symbol_id]:
            doubts.add(symbol_id, 0, f"{count} open orders, {known[symbol_id]} rows")
    return doubts.symbol_ids()


def _open_rows(
    connection: psycopg.Connection, units: Mapping[int, SymbolUnits], moved: Callable[[], object]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of open orders, in the order of their priority.

    The result stays in Postgres, and outlives the transaction: `moved` may renew the lease.
    """
    with connection.cursor("open_orders", row_factory=dict_row, withhold=True) as cursor:
        # All rows are read: here a sequential scan or a hash join is the right plan.
        with connection.transaction():
            for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                connection.execute(f"SET LOCAL {setting} = on")
            connection.execute("SET LOCAL cursor_tuple_fraction = 1")
            connection.execute("SET LOCAL statement_timeout = 0")  # however many there are
            cursor.execute(_OPEN_ORDERS, (list(units),))
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            moved()
            yield from rows


def _take_in(book: Book, place: Place, row: Row, units: SymbolUnits) -> None:
    if row["status"] == OrderStatus.WAITING:
        if book.advanced is None:
            book.advanced = AdvancedState()
        book.advanced.waiting_add(Waiting(place, row["priority_seq"], PENDING))
        return
    order = _resting(place, row, units)
    assert order.price_ticks > 0, "a resting order has a price"
    assert order.left_lots > 0, "a resting order has something left"
    book.add_sliced(order)
    if book.advanced is not None:
        book.advanced.expiry_add(order.order_id, order.expire_ms)
        if place.market:
            book.advanced.at_open.add(order.order_id)


def _difference(book: Book, row: Row, units: SymbolUnits) -> str:
    """Return how the engine's order differs from its row, in words; empty where they agree."""
    order = open_order(book, row["id"])
    if order is None:
        return "the engine does not have it"
    place = command_from_order_row(row, units)
    is_waiting = isinstance(order, Waiting)
    if is_waiting != (row["status"] == OrderStatus.WAITING):
        return f"in the engine it {'waits' if is_waiting else 'rests'}"
    if isinstance(order, Waiting):
        has, says = _waiting_values(order.command), _waiting_values(place)
    else:
        has, says = order.values(), _as_row(order, place, row, units).values()
    return "" if has == says else f"the engine has {has}, the row says {says}"


def _resting(place: Place, row: Row, units: SymbolUnits) -> RestingOrder:
    """Return the order of a row as it would enter its book."""
    order = incoming(place, row["priority_seq"])
    order.left_lots -= units.quantity_lots(row["filled"])
    return order


def _waiting_values(place: Place) -> tuple[object, ...]:
    """Return all of a command but its ids and its time; unset terms equal NO_TERMS."""
    return *astuple(place)[_PLACE_FIRST:-1], place.terms or NO_TERMS


def _as_row(order: RestingOrder, place: Place, row: Row, units: SymbolUnits) -> RestingOrder:
    """Return the order of a row; what no row says is as in the engine's order."""
    says = _resting(place, row, units)
    says.priority, says.since = order.priority, order.since
    says.left_lots -= order.hidden_lots
    says.hidden_lots = order.hidden_lots
    if place.market:
        says.price_ticks = order.price_ticks  # the band may have moved its bound
    return says
