"""What only some symbols need: waiting orders, lists, timers, bands, limits, auctions, features.

A book gets its desk from the first command that asks for any of this; a book without one runs as if
none of it existed, and pays nothing for it. A desk in which nothing is set counts as no desk: state
hash and behaviour are the same.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from msgspec import Struct

from matching.messages import (
    BUY,
    GTC,
    PHASE_NONE,
    SOURCE_BEST,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    OrderCancelled,
    Place,
    Terms,
)

# Where a waiting order is in its life.
HELD: Final = 0  # until another order of its list fills
WATCHING: Final = 1
ELECTED: Final = 2  # its trigger was reached; it comes in as soon as its turn is there

UP: Final = 1  # reached by a price at or above the trigger
DOWN: Final = -1

# Which price a trigger watches: the last trade's, the best bid (sells), the best ask (buys).
LAST: Final = 0
BID: Final = 1
ASK: Final = 2

# Every trailing stop is looked at whenever its price moves.
TRAILING_ORDERS_PER_SYMBOL_MAX: Final = 2_000
PPM: Final = 1_000_000
NO_TERMS: Final = Terms()

Entry = tuple[int, int, int]


class Waiting(Struct, eq=False):
    """An order that is accepted and not in the book."""

    command: Place
    priority: int
    stage: int
    stop_ticks: int = 0  # of a trailing stop: where it stands now, 0 before its activation
    mark_ticks: int = 0  # of a trailing stop: the best price since its activation
    at_ticks: int = 0  # what elected it

    @property
    def terms(self) -> Terms:
        """Its terms; those of a plain order that waits for its list are all unset."""
        return self.command.terms or NO_TERMS

    @property
    def direction(self) -> int:
        """UP where a rising price reaches the trigger."""
        is_take = self.terms.trigger == TRIGGER_TAKE
        return UP if (self.command.side == BUY) != is_take else DOWN

    @property
    def source(self) -> int:
        """Which price it watches."""
        if self.terms.source == SOURCE_BEST:
            return ASK if self.command.side == BUY else BID
        return LAST

    def end(self, code: str) -> OrderCancelled:
        """Return the event of its end."""
        command = self.command
        return OrderCancelled(
            command.order_id,
            command.account_id,
            command.side,
            command.price_ticks,
            command.quantity_lots,
            code,
        )


class Ranked:
    """Order ids sorted by a number, then age; the first ones are taken off in one piece."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, rank: int, priority: int, order_id: int) -> None:
        """Insert an entry at its place."""
        insort(self.entries, (rank, priority, order_id))

    def remove(self, rank: int, priority: int, order_id: int) -> None:
        """Take out an entry that is there."""
        at = bisect_left(self.entries, (rank, priority, order_id))
        assert self.entries[at] == (rank, priority, order_id)
        del self.entries[at]

    def pop_to(self, rank: int, count_max: int | None = None) -> list[Entry]:
        """Take off the entries up to and including a rank, the first ones if they are too many."""
        entries = self.entries
        if not entries or entries[0][0] > rank:
            return []
        end = bisect_left(entries, (rank + 1,))
        if count_max is not None:
            end = min(end, count_max)
        first = entries[:end]
        del entries[:end]
        return first


class OrderList(Struct, eq=False):
    """Orders with a linked life. `parent_id` is the order that releases the others, 0 after it."""

    list_id: int
    kind: int
    parent_id: int
    order_ids: list[int]


class Band(Struct, eq=False):
    """A price band and where its reference and its interruption stand."""

    band_ppm: int
    move_ppm: int
    move_after_ms: int
    limit_ms: int
    pause_ms: int
    call_ms: int
    reference_ticks: int = 0
    moved_ms: int = 0
    phase: int = PHASE_NONE
    due_ms: int = 0

    def low(self) -> int:
        """The lowest price that may trade, in ticks."""
        return max(1, -(-self.reference_ticks * (PPM - self.band_ppm) // PPM))

    def high(self) -> int:
        """The highest price that may trade, in ticks."""
        return self.reference_ticks * (PPM + self.band_ppm) // PPM


class Uncross(Struct, eq=False):
    """An auction's end under way: at this price, and what state comes after it."""

    state_after: int
    price_ticks: int = 0  # of the round under way
    first_ticks: int = 0  # of the first round: the auction's price
    traded_lots: int = 0


class Desk:
    """The rest of a symbol's state. Its parts are changed by the modules named after them."""

    __slots__ = (
        "at_open",
        "band",
        "cancels",
        "elected",
        "elected_live",
        "expiries",
        "expiry_of",
        "features",
        "is_last_fresh",
        "last_ticks",
        "limits",
        "list_of",
        "now_ms",
        "samples",
        "sequence",
        "sum_ticks",
        "sum_trades",
        "timers",
        "trailing",
        "triggers",
        "uncross",
        "waiting",
        "waiting_by_account",
    )

    def __init__(self) -> None:
        self.sequence = 0  # of the last command that was no Continue
        self.now_ms = 0  # the latest time that such a command told
        self.last_ticks = 0  # of the last trade, 0 before the first
        self.is_last_fresh = False  # whether it is of the present spell of open trading
        self.waiting: dict[int, Waiting] = {}
        self.waiting_by_account: dict[int, dict[int, Waiting]] = {}
        # By source and direction.
        self.triggers: dict[tuple[int, int], Ranked] = {
            (source, direction): Ranked() for source in (LAST, BID, ASK) for direction in (UP, DOWN)
        }
        self.trailing: dict[int, dict[int, Waiting]] = {LAST: {}, BID: {}, ASK: {}}
        self.elected: deque[Waiting] = deque()
        self.elected_live = 0  # of these: the others ended while they waited for their turn
        self.cancels: deque[tuple[int, str]] = deque()  # (order id, code)
        self.expiries = Ranked()  # by time; the age of an entry is unused
        self.expiry_of: dict[int, int] = {}
        self.timers: dict[tuple[int, int], int] = {}  # (account, owner tag) -> due
        self.list_of: dict[int, OrderList] = {}
        self.at_open: set[int] = set()  # market orders that end with the auction
        self.limits: dict[int, tuple[int, int]] = {}
        self.features: set[int] = set()
        self.band: Band | None = None
        self.samples: deque[list[int]] = deque()  # [bucket, sum of prices, trades]
        self.sum_ticks = 0  # of the samples
        self.sum_trades = 0
        self.uncross: Uncross | None = None

    def is_parent(self, order_id: int) -> bool:
        """Tell whether the order's fill releases others."""
        order_list = self.list_of.get(order_id)
        return order_list is not None and order_list.parent_id == order_id

    def has_work(self) -> bool:
        """Whether something of an earlier command is still to be done."""
        return bool(self.cancels or self.elected_live) or self.uncross is not None

    def hold(self, waiting: Waiting) -> None:
        """Keep an order outside the book; whoever calls says next what it waits for."""
        command = waiting.command
        self.waiting[command.order_id] = waiting
        self.waiting_by_account.setdefault(command.account_id, {})[command.order_id] = waiting
        self.expiry_add(command.order_id, waiting.terms.expire_ms)

    def watch(self, waiting: Waiting) -> None:
        """Let the order's trigger be reached from now on."""
        waiting.stage = WATCHING
        if waiting.terms.trigger == TRIGGER_TRAILING:
            self.trailing[waiting.source][waiting.command.order_id] = waiting
        else:
            self.triggers[waiting.source, waiting.direction].add(*self._entry(waiting))

    def unwatch(self, waiting: Waiting) -> None:
        """Take the order off the triggers; it stays on hold."""
        if waiting.stage != WATCHING:
            return
        if waiting.terms.trigger == TRIGGER_TRAILING:
            del self.trailing[waiting.source][waiting.command.order_id]
        else:
            self.triggers[waiting.source, waiting.direction].remove(*self._entry(waiting))

    def elect(self, reached: list[Waiting], at_ticks: int) -> None:
        """Queue orders that are off the triggers: each comes in when its turn is there."""
        for waiting in reached:
            waiting.stage = ELECTED
            waiting.at_ticks = at_ticks
        self.elected.extend(reached)
        self.elected_live += len(reached)

    def drop(self, waiting: Waiting) -> None:
        """Forget an order that no longer waits. Its time to expire is dropped when it ends."""
        command = waiting.command
        self.unwatch(waiting)
        if waiting.stage == ELECTED:
            self.elected_live -= 1
            if not self.elected_live:
                self.elected.clear()
        del self.waiting[command.order_id]
        owned = self.waiting_by_account[command.account_id]
        del owned[command.order_id]
        if not owned:
            del self.waiting_by_account[command.account_id]

    def expiry_add(self, order_id: int, expire_ms: int) -> None:
        """Remember when an order's time comes; 0: never."""
        if expire_ms and order_id not in self.expiry_of:
            self.expiry_of[order_id] = expire_ms
            self.expiries.add(expire_ms, 0, order_id)

    def expiry_drop(self, order_id: int) -> None:
        """Forget it when the order ended."""
        expire_ms = self.expiry_of.pop(order_id, 0)
        if expire_ms:
            self.expiries.remove(expire_ms, 0, order_id)

    def trailing_orders(self) -> list[Waiting]:
        """Return all trailing stops that watch, in the order of their ids."""
        found = [one for trailing in self.trailing.values() for one in trailing.values()]
        return sorted(found, key=lambda waiting: waiting.command.order_id)

    def next_due_ms(self) -> int | None:
        """When the next `Expire` has something to do, or None."""
        due = list(self.timers.values())
        if self.expiries.entries:
            due.append(self.expiries.entries[0][0])
        if self.band is not None and self.band.phase != PHASE_NONE:
            due.append(self.band.due_ms)
        return min(due, default=None)

    def _entry(self, waiting: Waiting) -> Entry:
        rank = waiting.stop_ticks * waiting.direction
        return rank, waiting.priority, waiting.command.order_id


def is_trailing(terms: Terms) -> bool:
    """Tell whether the order's trigger follows the price."""
    return terms.trigger == TRIGGER_TRAILING


def assert_terms(command: Place) -> None:
    """Assert what the validation in front of the engine has seen to."""
    terms = command.terms
    if terms is None:
        return
    is_stop = terms.trigger in (TRIGGER_STOP, TRIGGER_TAKE)
    assert 0 <= terms.trigger <= TRIGGER_TRAILING
    assert (terms.stop_ticks > 0) == is_stop
    has_trail = terms.trail_ticks > 0 or 0 < terms.trail_ppm < PPM
    assert has_trail == (terms.trigger == TRIGGER_TRAILING)
    assert not (terms.trail_ticks and terms.trail_ppm)
    assert terms.activation_ticks >= 0
    assert 0 <= terms.source <= SOURCE_BEST
    assert terms.display_lots == 0 or command.time_in_force == GTC
    assert terms.display_lots >= 0
    assert terms.expire_ms >= 0
    assert not terms.reprice or command.post_only
