"""Check after the crashes that every acknowledgement was kept and every trade is right.

The oracle is config/demo/simple_book.py, a book that shares no code with the engine. It applies the
commands in the sequence of the database, and must make the trades of the database.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg

from config.demo.simple_book import SimpleBook
from exchange.models import Symbol
from tests.lab.crash.evidence import EvidenceFile

FAULTS_SHOWN_MAX: Final = 20

# Every symbol gets a set_feature command, to report prevented matches. It changes no trade.
_COMMANDS = """
SELECT engine_seq, id, 'place', side, type, post_only, price, bound_price, quantity, filled, status
FROM orders_order WHERE symbol_id = %(symbol)s AND engine_seq IS NOT NULL
UNION ALL
SELECT engine_seq, order_id, kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM orders_command
WHERE symbol_id = %(symbol)s AND engine_seq IS NOT NULL AND kind <> 'set_feature'
ORDER BY 1
"""
_TRADES = """
SELECT maker_order_id, taker_order_id, price, quantity FROM orders_trade
WHERE symbol_id = %s ORDER BY engine_seq, id
"""
_ORDERS = "SELECT client_order_id, id FROM orders_order WHERE symbol_id = %s"
_CANCELS = "SELECT DISTINCT order_id FROM orders_command WHERE symbol_id = %s AND kind = 'cancel'"
_LIVE = """
SELECT id, quantity - filled FROM orders_order
WHERE symbol_id = %s AND status IN ('open', 'partially_filled')
"""


class MadeTrade(NamedTuple):
    """A trade in the exchange's ids, in ticks and lots."""

    maker_id: int
    taker_id: int
    price_ticks: int
    quantity_lots: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared, in numbers, and the faults found."""

    acknowledged: int
    orders: int
    commands: int
    trades: int
    faults: list[str]


def verify(connection: psycopg.Connection[Any], symbol: Symbol, evidence: EvidenceFile) -> Verdict:
    """Compare evidence, commands and trades. The symbol must be drained."""
    orders = dict(connection.execute(_ORDERS, (symbol.pk,)).fetchall())
    faults, acknowledged = promises_kept(connection, symbol, evidence, orders)
    book = SimpleBook()
    expected: list[MadeTrade] = []
    commands = 0
    for row in _rows(connection, _COMMANDS, {"symbol": symbol.pk}):
        commands += 1
        expected += _apply(book, symbol, row)
    made = [
        MadeTrade(maker, taker, int(price / symbol.tick), int(quantity / symbol.lot))
        for maker, taker, price, quantity in connection.execute(_TRADES, (symbol.pk,))
    ]
    faults += _trade_faults(expected, made)
    live = {
        order_id: int(left / symbol.lot)
        for order_id, left in connection.execute(_LIVE, (symbol.pk,))
    }
    if live != {order.order_id: order.left_lots for order in book.orders.values()}:
        faults.append("the open orders are not those that the commands leave")
    return Verdict(acknowledged, len(orders), commands, len(made), faults[:FAULTS_SHOWN_MAX])


def promises_kept(
    connection: psycopg.Connection[Any],
    symbol: Symbol,
    evidence: EvidenceFile,
    orders: dict[str, int],
) -> tuple[list[str], int]:
    """Check O1: exactly the acknowledged orders and cancels are stored; return faults and count."""
    faults: list[str] = []
    promised: dict[str, str] = {}
    cancelled = {row[0] for row in connection.execute(_CANCELS, (symbol.pk,))}
    count = 0
    for one in evidence.read():
        count += 1
        if one.is_cancel:
            if int(one.order_id) not in cancelled:
                faults.append(f"the acknowledged cancel of order {one.order_id} is not there")
            continue
        before = promised.setdefault(one.client_order_id, one.order_id)
        if before != one.order_id:
            faults.append(f"{one.client_order_id} was acknowledged as {before} and {one.order_id}")
        if str(orders.get(one.client_order_id)) != one.order_id:
            faults.append(f"the acknowledged order {one.order_id} is not there")
    # The client repeats every order until it has an answer, so an order without one is a fault.
    faults += [
        f"order {orders[name]} is there and was never acknowledged"
        for name in orders.keys() - promised.keys()
    ]
    return faults, count


def _apply(book: SimpleBook, symbol: Symbol, row: tuple[Any, ...]) -> Iterator[MadeTrade]:
    _, order_id, kind, side, order_type, post_only, price, bound, quantity, _, _ = row
    if kind == "cancel":
        book.remove(order_id)
        return
    assert kind == "place", f"the crash test sends no {kind}"
    is_market = order_type == "market"
    limit = bound if is_market else price
    ticks, lots = int(limit / symbol.tick), int(quantity / symbol.lot)
    for trade in book.place(order_id, side, ticks, lots, post_only=post_only):
        yield MadeTrade(trade.maker_id, trade.taker_id, trade.price_ticks, trade.quantity_lots)
    if is_market:
        book.remove(order_id)  # a market order never rests


def _trade_faults(expected: list[MadeTrade], made: list[MadeTrade]) -> list[str]:
    faults = [
        f"trade {place}: expected {want}, made {have}"
        for place, (want, have) in enumerate(zip(expected, made, strict=False))
        if want != have
    ]
    if len(expected) != len(made):
        faults.append(f"{len(expected)} trades expected, {len(made)} made")
    return faults


def _rows(
    connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    with connection.transaction(), connection.cursor("crash_rows") as cursor:
        yield from cursor.execute(query, parameters)
