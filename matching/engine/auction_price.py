"""The lots that count for an auction's price: all that cross, without prevented matches.

Where two orders of one owner meet, the younger order ends with all that it has left. Which orders
meet does not depend on the price: the first buy meets the first sell, until the best buy is below
the best sell. So prevented matches are found before the price. The book is not changed here.
"""

from collections import deque
from dataclasses import dataclass

from matching.engine.book import Book
from matching.engine.execution import is_same_owner
from matching.engine.resting import BookSide, Level, RestingOrder

Totals = dict[int, int]  # open lots by price in ticks, hidden lots included


def counted(book: Book, bid: int, ask: int) -> tuple[Totals, Totals]:
    """Return the lots to buy and to sell that count, by price, at the prices that cross.

    O(orders at those prices). Orders are paired only where an owner is on both sides.
    """
    bids, asks = _Side(book.bids, ask), _Side(book.asks, -bid)
    if _may_meet(bids.levels, asks.levels):
        _pair(bids, asks)
    return bids.totals, asks.totals


def _may_meet(bids: list[Level], asks: list[Level]) -> bool:
    """Tell whether an owner has orders on both sides."""
    accounts: set[int] = set()
    groups: set[int] = set()
    for level in bids:
        order = level.head
        while order is not None:  # a plain loop is faster, and there may be very many orders
            accounts.add(order.account_id)
            groups.add(order.group_id)
            order = order.next
    groups.discard(0)
    for level in asks:
        order = level.head
        while order is not None:
            if order.account_id in accounts or order.group_id in groups:
                return True
            order = order.next
    return False


def _pair(bids: "_Side", asks: "_Side") -> None:
    bid, ask = bids.following(), asks.following()
    while bid is not None and ask is not None:
        if bid.order.price_ticks < ask.order.price_ticks:
            return
        ending = _younger_own(bid, ask)
        if ending is bid:
            bid = bids.after_end(bid)
        elif ending is ask:
            ask = asks.after_end(ask)
        else:
            lots = min(bid.shown_lots, ask.shown_lots)
            bid.shown_lots -= lots
            ask.shown_lots -= lots
            bid = bid if bid.shown_lots else bids.after_part(bid)
            ask = ask if ask.shown_lots else asks.after_part(ask)


@dataclass(slots=True, eq=False)
class _Turn:
    """An order in the auction's queue, with the lots that it still shows and hides."""

    order: RestingOrder
    shown_lots: int
    hidden_lots: int


def _younger_own(bid: _Turn, ask: _Turn) -> _Turn | None:
    """Return the younger order if the two may not trade with each other, else None."""
    one, other = bid.order, ask.order
    if one.account_id != other.account_id and (not one.group_id or one.group_id != other.group_id):
        return None  # nearly always
    older, younger = (bid, ask) if one.age < other.age else (ask, bid)
    return younger if is_same_owner(younger.order, older.order) else None


class _Side:
    """One side's orders at the prices that cross, in the order in which they trade."""

    def __init__(self, side: BookSide, worst_key: int) -> None:
        self.levels: list[Level] = []
        self.totals: Totals = {}
        for key in reversed(side.keys):
            if key < worst_key:
                break
            level = side.levels[key]
            self.levels.append(level)
            self.totals[key * side.sign] = level.quantity_lots + level.hidden_lots
        self._to_come = iter(self.levels)
        self._queue: deque[_Turn] = deque()

    def following(self) -> _Turn | None:
        """Return the next order, or None where there is no more."""
        while not self._queue:
            level = next(self._to_come, None)
            if level is None:
                return None
            self._queue.extend(_Turn(order, order.left_lots, order.hidden_lots) for order in level)
        return self._queue.popleft()

    def after_part(self, turn: _Turn) -> _Turn | None:
        """Return the next order after `turn` traded all it showed; an iceberg queues again."""
        if turn.hidden_lots:
            turn.shown_lots = turn.order.slice_of(turn.hidden_lots)
            turn.hidden_lots -= turn.shown_lots
            self._queue.append(turn)
        return self.following()

    def after_end(self, turn: _Turn) -> _Turn | None:
        """Return the next order once `turn` ended unfilled: the lots it has left do not count."""
        price_ticks = turn.order.price_ticks
        self.totals[price_ticks] -= turn.shown_lots + turn.hidden_lots
        if not self.totals[price_ticks]:
            del self.totals[price_ticks]
        return self.following()
