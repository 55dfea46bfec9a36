"""The state of one symbol, and look-ups in it."""

from collections import deque
from dataclasses import dataclass, field

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules.order import Order, Where

# Changes of an order that concern its list.
TRADED, FILLED, ENDED = "traded", "filled", "ended"
STATE_CODES = {
    m.HALT: m.SYMBOL_HALTED,
    m.PRE_OPEN: codes.SYMBOL_PRE_OPEN,
    m.AUCTION: codes.SYMBOL_IN_AUCTION,
    m.AUCTION_CUTOFF: codes.SYMBOL_IN_AUCTION,
    m.POST_ONLY: codes.SYMBOL_POST_ONLY,
    m.CANCEL_ONLY: codes.SYMBOL_CANCEL_ONLY,
    m.CLOSED: codes.SYMBOL_CLOSED,
}
GATHERING = (m.PRE_OPEN, m.AUCTION, m.AUCTION_CUTOFF)


@dataclass
class Band:
    """The parameters of `SetBand`, and the band's present reference and trades (22)."""

    width_ppm: int = 0
    reference: int = 0
    moved_ms: int = 0
    move_ppm: int = 0
    move_after_ms: int = 0
    limit_ms: int = 0
    pause_ms: int = 0
    call_ms: int = 0
    both_sides: bool = False
    trades: list[tuple[int, int]] = field(default_factory=list)  # times and prices


@dataclass
class Market:
    """One symbol; `orders` are all open orders, in no particular order."""

    symbol: int
    state: int = m.OPEN
    sequence: int = 0
    now_ms: int = 0
    ticks: int = 0
    orders: list[Order] = field(default_factory=list)
    coming: deque[Order] = field(default_factory=deque)  # triggered and released, in order of entry
    events: list[m.Event] = field(default_factory=list)
    news: deque[tuple[str, Order, int]] = field(default_factory=deque)  # for lists (19)
    released: list[tuple[Order, int]] = field(default_factory=list)  # with the fill's price (19.9)
    step_trades: list[int] = field(default_factory=list)  # prices, since the last follow-up
    follows_prices: bool = False  # from the first command of advanced state on (12.14)
    last: int = 0  # price of the last trade that counts, 0 before the first
    is_last_fresh: bool = False  # traded since the symbol was last opened (12.5)
    gathered: bool = False  # orders gathered and were not uncrossed yet (20.8)
    features: set[int] = field(default_factory=set)
    cancel_after: dict[tuple[int, int], int] = field(default_factory=dict)  # (account, tag) -> due
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    band: Band = field(default_factory=Band)
    phase: int = m.PHASE_NONE
    phase_due_ms: int = 0
    stopped_at_band: bool = False  # a market order ended at the band since the last follow-up

    def tell(self, event: m.Event) -> None:
        self.events.append(event)

    def next_place(self) -> int:
        self.ticks += 1
        return self.ticks

    def find(self, order_id: int) -> Order | None:
        """Return the open order with this id."""
        return next((order for order in self.orders if order.id == order_id), None)

    def side(self, side: int) -> list[Order]:
        """Return the resting orders of a side in price-time priority (2.1, 2.2)."""
        toward = -1 if side == m.BUY else 1
        resting = [o for o in self.orders if o.where is Where.BOOK and o.side == side]
        return sorted(resting, key=lambda order: (toward * order.price, order.place))

    def best(self, side: int) -> int:
        """Return the best price of a side, 0 where there is none."""
        queue = self.side(side)
        return queue[0].price if queue else 0

    def front(self, order: Order) -> Order | None:
        """Return the oldest order at the best price of the other side."""
        queue = self.side(other(order.side))
        return queue[0] if queue else None

    def would_trade(self, order: Order, price: int) -> bool:
        """Tell whether a price reaches the best opposite one, own orders included (5.1, 5.4)."""
        best = self.best(other(order.side))
        return best != 0 and (best <= price if order.side == m.BUY else best >= price)

    def rest(self, order: Order) -> None:
        """Put an order at the back of its queue; an iceberg shows one part (3.2, 14.4)."""
        order.where = Where.BOOK
        order.place, order.place_sequence = self.next_place(), self.sequence
        order.shown = min(order.terms.display_lots or order.left, order.left)

    def remove(self, order: Order) -> None:
        """Remove an order: it trades no more (7.2)."""
        order.where = Where.ENDED
        self.orders.remove(order)
        if order in self.coming:
            self.coming.remove(order)

    def cancel(self, order: Order, code: str) -> None:
        """End the open rest of an order, including hidden parts (7.1, 14.6)."""
        self.remove(order)
        self.news.append((ENDED, order, 0))
        self.stopped_at_band |= code == codes.BAND_REST
        self.tell(
            m.OrderCancelled(order.id, order.account, order.side, order.price, order.left, code)
        )


def other(side: int) -> int:
    """Return the opposite side."""
    return m.SELL if side == m.BUY else m.BUY
