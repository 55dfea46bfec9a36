"""Resting orders from their rows, for a partition that is loaded.

A row that cannot be an order in a book must not stop the partition at every start: it is left out,
loudly, and its symbol is halted before anything trades on the book that lacks it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog

from exchange.domain.units import SymbolUnits
from matching.book import RestingOrder
from orders.words import SELF_TRADES, SIDES

ROWS_PER_FETCH: Final = 10_000
TOLD_MAX: Final = 10  # unreadable orders of a symbol that are named in the log
# What reading a row raises that does not hold what it should.
UNREADABLE: Final = (AssertionError, ArithmeticError, LookupError, TypeError, ValueError)

# By the reservations: they are the live orders, however many million ended ones there are.
# A reservation may outlive its order until it is settled; the status tells.
_OPEN_ORDERS = """
SELECT placed.symbol_id, placed.id, placed.account_id, placed.side, placed.price, placed.quantity,
    placed.filled, placed.priority_seq, placed.post_only, placed.self_trade
FROM wallets_reservation AS held
JOIN orders_order AS placed ON placed.id = held.order_id
WHERE held.symbol_id = ANY(%s::bigint[])
  AND placed.status IN ('open', 'partially_filled') AND placed.engine_seq IS NOT NULL
ORDER BY placed.priority_seq, placed.id
"""

log = structlog.get_logger(__name__)


def resting_orders(
    connection: psycopg.Connection, units: Mapping[int, SymbolUnits]
) -> tuple[dict[int, list[RestingOrder]], set[int]]:
    """Open orders by symbol, in the order of their priority; and the symbols that lack some."""
    orders: dict[int, list[RestingOrder]] = {symbol_id: [] for symbol_id in units}
    doubtful: Counter[int] = Counter()
    # The whole set is wanted: here a sequential scan or a hash join is the right plan.
    with connection.transaction():
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
            connection.execute(f"SET LOCAL {setting} = on")
        connection.execute("SET LOCAL statement_timeout = 0")  # however many there are
        cursor = connection.execute(_OPEN_ORDERS, (list(units),))
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            for row in rows:
                queue = orders[row[0]]
                after = queue[-1].priority if queue else 0
                try:
                    queue.append(_resting_order(row, units[row[0]], after))
                except UNREADABLE as error:
                    doubtful[row[0]] += 1
                    if doubtful[row[0]] <= TOLD_MAX:
                        log.critical(
                            "matching.resting_order_unreadable", order_id=row[1], error=repr(error)
                        )
    for symbol_id, count in doubtful.items():
        log.critical("matching.symbol_doubtful", symbol=units[symbol_id].code, orders=count)
    return orders, set(doubtful)


def _resting_order(row: tuple[Any, ...], units: SymbolUnits, after: int) -> RestingOrder:
    _, order_id, account_id, side, price, quantity, filled, priority, post_only, self_trade = row
    quantity_lots = units.quantity_lots(quantity)
    price_ticks = units.price_ticks(price)
    left_lots = quantity_lots - units.quantity_lots(filled)
    assert price_ticks > 0, "a resting order has a price"
    assert left_lots > 0, "a resting order has something left"
    assert priority > after, "each has a place of its own in the sequence"
    return RestingOrder(
        order_id,
        account_id,
        SIDES[side],
        price_ticks,
        quantity_lots,
        left_lots,
        priority,
        post_only,
        SELF_TRADES[self_trade],
    )
