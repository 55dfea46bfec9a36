"""What counts for an auction's price: what will trade there, and what will be left of it.

Where two own orders meet, the younger one ends, with all that it has left. Who meets whom does not
depend on the price: the front of the buys meets the front of the sells, until the best buy is below
the best sell. So it is worked out here before there is a price; the book stays as it is.
"""

from collections import deque
from collections.abc import Iterator

from matching.book import Book, BookSide, RestingOrder
from matching.taking import is_same_owner

Totals = dict[int, int]  # open lots by price, hidden ones too


def counted(book: Book, bid: int, ask: int) -> tuple[Totals, Totals]:
    """Return the lots to buy and to sell that count, at the prices that cross. O(those prices).

    Only where owners have orders on both sides all orders at those prices are looked at.
    """
    bids, asks = _Front(book.bids, ask), _Front(book.asks, -bid)
    if _may_meet(bids, asks):
        _pair(bids, asks)
    return bids.totals, asks.totals


def _may_meet(bids: "_Front", asks: "_Front") -> bool:
    """Tell whether an owner has orders on both sides."""
    accounts: set[int] = set()
    groups: set[int] = set()
    for order in bids.orders():
        accounts.add(order.account_id)
        groups.add(order.group_id)
    groups.discard(0)
    return any(order.account_id in accounts or order.group_id in groups for order in asks.orders())


def _pair(bids: "_Front", asks: "_Front") -> None:
    while True:
        bid, ask = bids.first(), asks.first()
        if bid is None or ask is None or bid.order.price_ticks < ask.order.price_ticks:
            return
        is_bid_older = bid.order.age < ask.order.age
        older, younger = (bid, ask) if is_bid_older else (ask, bid)
        if is_same_owner(younger.order, older.order):
            (asks if is_bid_older else bids).end_first()
        else:
            lots = min(bid.shown_lots, ask.shown_lots)
            bids.eat(lots)
            asks.eat(lots)


class _Turn:
    """An order, or what is left of an iceberg, that waits for its turn."""

    __slots__ = ("hidden_lots", "order", "shown_lots")

    def __init__(self, order: RestingOrder) -> None:
        self.order = order
        self.shown_lots = order.left_lots
        self.hidden_lots = order.hidden_lots


class _Front:
    """One side's orders at the prices that cross, as they come to their turn."""

    def __init__(self, side: BookSide, worst_key: int) -> None:
        self._side = side
        self._keys = [key for key in reversed(side.keys) if key >= worst_key]
        self._next = 0
        self._queue: deque[_Turn] = deque()
        self.totals: Totals = {}
        for key in self._keys:
            level = side.levels[key]
            self.totals[key * side.sign] = level.quantity_lots + level.hidden_lots

    def orders(self) -> Iterator[RestingOrder]:
        """All orders, the best prices first."""
        for key in self._keys:
            yield from self._side.levels[key]

    def first(self) -> _Turn | None:
        """The order whose turn it is."""
        if not self._queue and self._next < len(self._keys):
            level = self._side.levels[self._keys[self._next]]
            self._queue.extend(map(_Turn, level))
            self._next += 1
        return self._queue[0] if self._queue else None

    def eat(self, lots: int) -> None:
        """Let the first order trade; an iceberg's next part goes to the back."""
        turn = self._queue[0]
        turn.shown_lots -= lots
        if turn.shown_lots:
            return
        self._queue.popleft()
        if turn.hidden_lots:
            turn.shown_lots = min(turn.hidden_lots, turn.order.display_lots)
            turn.hidden_lots -= turn.shown_lots
            self._queue.append(turn)

    def end_first(self) -> None:
        """Take out what the first order has left: it counts no further."""
        turn = self._queue.popleft()
        price_ticks = turn.order.price_ticks
        self.totals[price_ticks] -= turn.shown_lots + turn.hidden_lots
        if not self.totals[price_ticks]:
            del self.totals[price_ticks]
