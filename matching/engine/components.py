"""Parts of advanced state: waiting orders, sorted triggers, linked orders, a band, an auction."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from matching.engine.messages import (
    BUY,
    NO_TERMS,
    PHASE_NONE,
    PPM,
    SOURCE_BEST,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    OrderCancelled,
    Place,
    Terms,
)

# Stages of a waiting order.
PENDING: Final = 0  # waits for its parent's fill
WATCHING: Final = 1  # waits for a price to reach its trigger
TRIGGERED: Final = 2  # a price reached its trigger; it enters at its turn

UP: Final = 1  # reached by a price at or above the trigger
DOWN: Final = -1

# Which price a trigger watches: the last trade's, the best bid (sells), the best ask (buys).
LAST: Final = 0
BID: Final = 1
ASK: Final = 2

# Bounded, because each price change visits every trailing stop of the symbol.
TRAILING_ORDERS_PER_SYMBOL_MAX: Final = 2_000
# Later than every time and above every price of a command.
ALWAYS_MS: Final = 1 << 63
ANY_TICKS: Final = 1 << 63

RankedId = tuple[int, int, int]


class Waiting(Struct, gc=False, eq=False):
    """An accepted order outside the book: pending, watching a price, or triggered."""

    command: Place
    priority: int
    stage: int
    stop_ticks: int = 0  # of a trailing stop: where it stands now, 0 before its activation
    mark_ticks: int = 0  # of a trailing stop: the best price since its activation
    at_ticks: int = 0  # the price that triggered it, 0 if its parent's fill did

    @property
    def terms(self) -> Terms:
        """The order's terms; all unset for a pending order without terms."""
        return self.command.terms or NO_TERMS

    @property
    def direction(self) -> int:
        """UP if a rising price reaches the trigger, else DOWN."""
        is_take = self.terms.trigger == TRIGGER_TAKE
        return UP if (self.command.side == BUY) != is_take else DOWN

    @property
    def source(self) -> int:
        """The price that the order watches: LAST, BID or ASK."""
        if self.terms.source == SOURCE_BEST:
            return ASK if self.command.side == BUY else BID
        return LAST

    def bound_ticks(self) -> int:
        """Return the price with which the order would enter now: its bound may trail its stop."""
        bound_ticks, ppm, stop_ticks = (
            self.command.price_ticks,
            self.terms.bound_ppm,
            self.stop_ticks,
        )
        if not ppm or not stop_ticks:
            return bound_ticks
        # Never worse than the order's first bound: the reservation pays for no more.
        if self.command.side == BUY:
            return min(bound_ticks, stop_ticks * (PPM + ppm) // PPM)
        return max(bound_ticks, -(-stop_ticks * (PPM - ppm) // PPM))

    def end(self, code: str) -> OrderCancelled:
        """Return the event of the order's end."""
        command = self.command
        return OrderCancelled(
            command.order_id,
            command.account_id,
            command.side,
            command.price_ticks,
            command.quantity_lots,
            code,
        )


@dataclass(slots=True, eq=False)
class Ranked:
    """Order ids sorted by rank, then priority; the first entries are removed in one slice."""

    entries: list[RankedId] = field(default_factory=list)

    def add(self, rank: int, priority: int, order_id: int) -> None:
        """Insert an entry at its place."""
        insort(self.entries, (rank, priority, order_id))

    def remove(self, rank: int, priority: int, order_id: int) -> None:
        """Remove an entry, which must exist."""
        at = bisect_left(self.entries, (rank, priority, order_id))
        assert self.entries[at] == (rank, priority, order_id)
        del self.entries[at]

    def pop_to(self, rank: int, count_max: int | None = None) -> list[RankedId]:
        """Remove and return the entries up to and including a rank, at most `count_max`."""
        entries = self.entries
        if not entries or entries[0][0] > rank:
            return []
        end = bisect_left(entries, (rank + 1,))
        if count_max is not None:
            end = min(end, count_max)
        first = entries[:end]
        del entries[:end]
        return first


class LinkedOrders(Struct, gc=False, eq=False):
    """A list of linked orders. `parent_id` is 0 for an OCO, and after the parent's fill."""

    list_id: int
    kind: int
    parent_id: int
    order_ids: list[int]

    def as_tuple(self) -> tuple[object, ...]:
        """Return all fields, as the state's hash takes them."""
        return self.list_id, self.kind, self.parent_id, self.order_ids


class Band(Struct, eq=False):
    """A price band: its settings, its reference, and the state of its volatility interruption."""

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
    both_sides: bool = False

    def as_tuple(self) -> tuple[int | bool, ...]:
        """Return all fields; `both_sides` only where it is set, so that old hashes stay."""
        values = astuple(self)
        return values if self.both_sides else values[:-1]

    def low(self) -> int:
        """Return the lowest price that may trade, in ticks."""
        return max(1, -(-self.reference_ticks * (PPM - self.band_ppm) // PPM))

    def high(self) -> int:
        """Return the highest price that may trade, in ticks."""
        return self.reference_ticks * (PPM + self.band_ppm) // PPM


class Uncross(Struct, eq=False):
    """An uncross under way: its price, and the market state that follows."""

    state_after: int
    price_ticks: int = 0  # 0 until something trades
    first_ticks: int = 0  # the first price found, under RULES_FIRST only
    traded_lots: int = 0


def is_trailing(terms: Terms) -> bool:
    """Return whether the order is a trailing stop."""
    return terms.trigger == TRIGGER_TRAILING
