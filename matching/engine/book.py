"""The order book of one symbol: price levels, each a queue of resting orders.

A level is a doubly linked list with its total beside it. Adding, removing and filling an order
therefore cost the same in a queue of three and in a queue of 100,000. The prices of one side are a
sorted list of *keys* (the price times the side's sign), best last. So one code path serves both
sides, and most changes happen at the end of the list, where they are cheap.

A removed order or level is unlinked completely, and reference counting frees it at once. Nothing
waits for the cycle collector, which a worker may switch off (see matching/README.md).
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from matching.engine.account_index import AccountIndex
from matching.engine.advanced import AdvancedState
from matching.engine.messages import BUY, OPEN, POST_ONLY, SELL
from matching.engine.resting import BookSide, Level, RestingOrder
from matching.engine.segmented import SINGLE_DICT_MAX, SegmentedDict
from matching.engine.versions import RULES_MENDED, RULES_NOW


@dataclass(slots=True, eq=False, repr=False)
class Book:
    """Resting orders of one symbol by id, in price-time order, and by account once needed."""

    symbol_id: int
    state: int = OPEN
    rules: int = RULES_NOW  # the engine sets an older version to replay old journal rows
    # Orders by id. A plain dict up to SINGLE_DICT_MAX: see matching/engine/segmented.py.
    orders: dict[int, RestingOrder] | SegmentedDict[RestingOrder] = field(default_factory=dict)
    # None until a command needs advanced state (matching/engine/advanced.py).
    advanced: AdvancedState | None = None
    # None until the first call of `by_account`; up to date from then on.
    accounts: AccountIndex | None = None
    bids: BookSide = field(default_factory=lambda: BookSide(1))
    asks: BookSide = field(default_factory=lambda: BookSide(-1))
    # Indexed by an order's side: (the side where it rests, the side that it trades against).
    sides: tuple[tuple[BookSide, BookSide], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.sides = ((self.bids, self.asks), (self.asks, self.bids))

    def best_bid(self) -> int | None:
        """Return the highest bid in ticks, or None."""
        keys = self.bids.keys
        return keys[-1] if keys else None

    def best_ask(self) -> int | None:
        """Return the lowest ask in ticks, or None."""
        keys = self.asks.keys
        return -keys[-1] if keys else None

    def depth(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best `levels` bids and asks as (price_ticks, quantity_lots), best first."""
        assert levels > 0
        bids, asks = (
            [
                (key * side.sign, side.levels[key].quantity_lots)
                for key in side.keys[: -levels - 1 : -1]
            ]
            for side in (self.bids, self.asks)
        )
        return bids, asks

    def level_quantity(self, side: int, price_ticks: int) -> int:
        """Return the lots shown at a price of one side; 0 where there is no level."""
        own = self.sides[side][0]
        level = own.levels.get(price_ticks * own.sign)
        return level.quantity_lots if level is not None else 0

    def add(self, order: RestingOrder) -> None:
        """Put an order at the back of the queue of its price."""
        own = self.sides[order.side][0]
        key = order.price_ticks * own.sign
        level = own.levels.get(key)
        if level is None:
            level = own.levels[key] = Level(own, key, order.left_lots, order, order)
            insort(own.keys, key)
        else:
            tail = level.tail
            assert tail is not None
            tail.next = order
            order.prev = tail
            level.tail = order
            level.quantity_lots += order.left_lots
        if order.hidden_lots:
            level.hidden_lots += order.hidden_lots
        order.level = level
        orders = self.orders
        orders[order.order_id] = order
        if type(orders) is dict and len(orders) == SINGLE_DICT_MAX:
            self.orders = SegmentedDict.of(orders)
        if self.accounts is not None:
            self.accounts.add(order)

    def remove(self, order: RestingOrder) -> None:
        """Take an order out and unlink it; a level without orders is removed as well."""
        level = order.level
        assert level is not None
        before, after = order.prev, order.next
        if before is None and after is None:
            level.head = level.tail = None
            key, side = level.key, level.side
            del side.levels[key]
            keys = side.keys
            if keys[-1] == key:
                keys.pop()
            else:
                del keys[bisect_left(keys, key)]
        else:
            if before is None:
                level.head = after
            else:
                before.next = after
                order.prev = None
            if after is None:
                level.tail = before
            else:
                after.prev = before
                order.next = None
            level.quantity_lots -= order.left_lots
            if order.hidden_lots:
                level.hidden_lots -= order.hidden_lots
        order.level = None
        del self.orders[order.order_id]
        if self.accounts is not None:
            self.accounts.remove(order)

    def by_account(self) -> AccountIndex:
        """Return the orders by account; from now on the book keeps this index up to date.

        The first call is O(orders). Whoever will need the index calls while the book is empty.
        """
        if self.accounts is None:
            self.accounts = AccountIndex(self.orders.values())
        return self.accounts

    def fill(self, order: RestingOrder, quantity_lots: int, sequence: int) -> int:
        """Fill lots of a resting order and return the lots that the order has left.

        A filled order leaves the book. An iceberg whose slice is filled shows its next slice, at
        the back of the queue, with `sequence` as its priority.
        """
        left_lots = order.left_lots - quantity_lots
        if left_lots == 0:
            hidden_lots = order.hidden_lots
            self.remove(order)
            order.left_lots = 0
            if hidden_lots:
                if not order.since and self.rules >= RULES_MENDED:
                    order.since = order.priority
                order.priority = sequence
                self.add_sliced(order)
            return hidden_lots
        assert left_lots > 0
        self.reduce(order, quantity_lots)
        return left_lots + order.hidden_lots

    def add_sliced(self, order: RestingOrder) -> None:
        """Put an order at the back of its queue; an iceberg shows one slice of its open lots."""
        open_lots = order.left_lots + order.hidden_lots
        shown_lots = order.slice_of(open_lots)
        order.left_lots = shown_lots
        order.hidden_lots = open_lots - shown_lots
        self.add(order)

    def reduce(self, order: RestingOrder, quantity_lots: int) -> None:
        """Take lots off a resting order that keeps some lots and its place in the queue."""
        level = order.level
        assert level is not None
        order.left_lots -= quantity_lots
        level.quantity_lots -= quantity_lots

    def check(self) -> None:
        """Assert every invariant of the book. O(orders): for tests and snapshots."""
        resting: list[RestingOrder] = []
        for side_code in (BUY, SELL):
            side = self.sides[side_code][0]
            assert side.keys == sorted(side.levels), "the keys are the sorted prices of the levels"
            for key, level in side.levels.items():
                assert level.side is side
                assert level.key == key
                _check_level(level, side_code)
                resting += level
        assert len(resting) == len(self.orders), "no order rests twice or outside the index"
        assert all(self.orders.get(order.order_id) is order for order in resting)
        if self.accounts is not None:
            self.accounts.check(self.orders)
        bid, ask = self.best_bid(), self.best_ask()
        is_trading = self.state in (OPEN, POST_ONLY)
        assert not is_trading or bid is None or ask is None or bid < ask, "B1: not crossed"


def _check_level(level: Level, side_code: int) -> None:
    before: RestingOrder | None = None
    total_lots = hidden_lots = 0
    for order in level:
        assert order.level is level
        assert order.prev is before
        assert order.side == side_code
        assert order.price_ticks * level.side.sign == level.key
        order.check()
        # Priorities are equal where one command added several orders: iceberg slices, stops.
        assert before is None or before.priority <= order.priority, "B2: a queue is in time order"
        total_lots += order.left_lots
        hidden_lots += order.hidden_lots
        before = order
    assert before is not None, "no empty level stays"
    assert level.tail is before
    assert level.quantity_lots == total_lots
    assert level.hidden_lots == hidden_lots
