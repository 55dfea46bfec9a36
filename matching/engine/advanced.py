"""Advanced state: waiting orders, lists, cancel-afters, bands, limits, auctions of one symbol.

The first command that needs any of these gives a book its advanced state. A book without it pays
nothing for it. Advanced state is kept and hashed even after all of its parts are empty again.
"""

from collections import deque
from dataclasses import dataclass, field

from matching.engine.components import (
    ASK,
    BID,
    DOWN,
    LAST,
    TRIGGERED,
    UP,
    WATCHING,
    Band,
    LinkedOrders,
    Ranked,
    RankedId,
    Uncross,
    Waiting,
)
from matching.engine.messages import PHASE_NONE, TRIGGER_TRAILING
from matching.engine.set_hash import SetHash


def _no_triggers() -> dict[tuple[int, int], Ranked]:
    return {
        (source, direction): Ranked() for source in (LAST, BID, ASK) for direction in (UP, DOWN)
    }


@dataclass(slots=True, eq=False, repr=False)
class AdvancedState:
    """The state of a symbol beyond its book; modules named after its parts change them."""

    sequence: int = 0  # of the last command that was no Continue
    now_ms: int = 0  # the latest time of such a command
    last_ticks: int = 0  # price of the last trade, 0 before the first
    is_last_fresh: bool = False  # whether `last_ticks` is of the present open trading
    waiting: dict[int, Waiting] = field(default_factory=dict)
    waiting_by_account: dict[int, dict[int, Waiting]] = field(default_factory=dict)
    # By source and direction.
    triggers: dict[tuple[int, int], Ranked] = field(default_factory=_no_triggers)
    trailing: dict[int, dict[int, Waiting]] = field(
        default_factory=lambda: {LAST: {}, BID: {}, ASK: {}}
    )
    trailing_live: int = 0  # trailing stops in any stage of waiting
    best_live: int = 0  # orders that watch the best bid or the best ask
    triggered: deque[Waiting] = field(default_factory=deque)
    triggered_live: int = 0  # entries of `triggered` that have not ended meanwhile
    cancels: deque[tuple[int, str]] = field(default_factory=deque)  # (order id, code)
    expiries: Ranked = field(default_factory=Ranked)  # by time; an entry's priority is always 0
    expiry_of: dict[int, int] = field(default_factory=dict)
    # (account, owner tag) -> due
    cancel_after: dict[tuple[int, int], int] = field(default_factory=dict)
    list_of: dict[int, LinkedOrders] = field(default_factory=dict)
    at_open: set[int] = field(default_factory=set)  # market orders that end with the auction
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    features: set[int] = field(default_factory=set)
    band: Band | None = None
    # [bucket, sum of prices, trades]
    samples: deque[list[int]] = field(default_factory=deque)
    sum_ticks: int = 0  # of the samples
    sum_trades: int = 0
    uncross: Uncross | None = None
    # matching/state/hash.py keeps the hash after the command of `hash_sequence`, and `set_hash`,
    # the sum behind it; both None until needed. Each change of a summed part calls `noted`.
    kept_hash: str | None = None
    hash_sequence: int = 0
    edges: tuple[int, int, int, int] | None = None  # kept by bands.edges
    set_hash: SetHash | None = None
    # The fast path (matching/engine/fast_path.py) is open to plain orders before this time and
    # between these prices; set anew after each command that did not take it.
    fast_until_ms: int = 0
    fast_above_ticks: int = 0
    fast_below_ticks: int = 0

    def noted(self, kind: str, key: object, value: object | None) -> None:
        """Update the hash for a cancel-after, limit, list or auction order; value None: removed."""
        if self.set_hash is not None:
            self.set_hash.put(kind, key, value)

    def cancel_after_set(self, account_id: int, owner_tag: int, due_ms: int) -> None:
        """Set or move a cancel-after; `due_ms` 0 clears it."""
        key = (account_id, owner_tag)
        if due_ms:
            self.cancel_after[key] = due_ms
        else:
            self.cancel_after.pop(key, None)
        self.noted("timer", key, (account_id, owner_tag, due_ms) if due_ms else None)

    def limits_set(self, account_id: int, open_max: int, stops_max: int) -> None:
        """Bound an account's open and waiting orders; 0 means no bound."""
        self.limits[account_id] = (open_max, stops_max)
        self.noted("limits", account_id, (account_id, (open_max, stops_max)))

    def list_noted(self, order_list: LinkedOrders) -> None:
        """Update the hash for a list that began, changed or ended."""
        is_kept = self.list_of.get(order_list.order_ids[0]) is order_list
        self.noted("list", order_list, order_list.as_tuple() if is_kept else None)

    def at_open_add(self, order_id: int) -> None:
        """Add a market order that ends with the auction."""
        self.at_open.add(order_id)
        self.noted("at_open", order_id, order_id)

    def at_open_discard(self, order_id: int) -> None:
        """Remove a market order that ended before the auction."""
        if order_id in self.at_open:
            self.at_open.discard(order_id)
            self.noted("at_open", order_id, None)

    def is_parent(self, order_id: int) -> bool:
        """Return whether the order's fill releases other orders."""
        order_list = self.list_of.get(order_id)
        return order_list is not None and order_list.parent_id == order_id

    def has_work(self) -> bool:
        """Return whether steps of an earlier command's cascade are left."""
        return bool(self.cancels or self.triggered_live) or self.uncross is not None

    def waiting_add(self, waiting: Waiting) -> None:
        """Add an order outside the book; the caller watches, triggers or leaves it pending next."""
        command = waiting.command
        self.waiting[command.order_id] = waiting
        self.trailing_live += waiting.terms.trigger == TRIGGER_TRAILING
        self.waiting_by_account.setdefault(command.account_id, {})[command.order_id] = waiting
        self.expiry_add(command.order_id, waiting.terms.expire_ms)

    def watch(self, waiting: Waiting) -> None:
        """Add the order to the triggers, so that a price can reach it from now on."""
        waiting.stage = WATCHING
        source = waiting.source
        self.best_live += source != LAST
        if waiting.terms.trigger == TRIGGER_TRAILING:
            self.trailing[source][waiting.command.order_id] = waiting
        else:
            self.triggers[source, waiting.direction].add(*self._ranked_id(waiting))

    def unwatch(self, waiting: Waiting) -> None:
        """Remove the order from the triggers; the order goes on waiting."""
        if waiting.stage != WATCHING:
            return
        source = waiting.source
        self.best_live -= source != LAST
        if waiting.terms.trigger == TRIGGER_TRAILING:
            del self.trailing[source][waiting.command.order_id]
        else:
            self.triggers[source, waiting.direction].remove(*self._ranked_id(waiting))

    def trigger(self, reached: list[Waiting], at_ticks: int) -> None:
        """Queue orders that are already off the triggers; each enters at its turn."""
        for waiting in reached:
            waiting.stage = TRIGGERED
            waiting.at_ticks = at_ticks
        self.triggered.extend(reached)
        self.triggered_live += len(reached)

    def drop(self, waiting: Waiting) -> None:
        """Remove an order that no longer waits; its expiry stays until the order ends."""
        command = waiting.command
        self.unwatch(waiting)
        if waiting.stage == TRIGGERED:
            self.triggered_live -= 1
            if not self.triggered_live:
                self.triggered.clear()
        del self.waiting[command.order_id]
        self.trailing_live -= waiting.terms.trigger == TRIGGER_TRAILING
        owned = self.waiting_by_account[command.account_id]
        del owned[command.order_id]
        if not owned:
            del self.waiting_by_account[command.account_id]

    def expiry_add(self, order_id: int, expire_ms: int) -> None:
        """Remember the time at which an order expires; 0: never."""
        if expire_ms and order_id not in self.expiry_of:
            self.expiry_of[order_id] = expire_ms
            self.expiries.add(expire_ms, 0, order_id)

    def expiry_drop(self, order_id: int) -> None:
        """Forget the expiry of an order that ended."""
        expire_ms = self.expiry_of.pop(order_id, 0)
        if expire_ms:
            self.expiries.remove(expire_ms, 0, order_id)

    def trailing_watching(self) -> int:
        """Return how many trailing stops watch a price."""
        return sum(map(len, self.trailing.values()))

    def trailing_orders(self) -> list[Waiting]:
        """Return all trailing stops that watch a price, sorted by id."""
        found = [one for trailing in self.trailing.values() for one in trailing.values()]
        return sorted(found, key=lambda waiting: waiting.command.order_id)

    def next_due_ms(self) -> int | None:
        """Return the time from which the next `Expire` has an effect, or None."""
        due = list(self.cancel_after.values())
        if self.expiries.entries:
            due.append(self.expiries.entries[0][0])
        if self.band is not None and self.band.phase != PHASE_NONE:
            due.append(self.band.due_ms)
        return min(due, default=None)

    def _ranked_id(self, waiting: Waiting) -> RankedId:
        rank = waiting.stop_ticks * waiting.direction
        return rank, waiting.priority, waiting.command.order_id
