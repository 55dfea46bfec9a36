"""Decide which commands of a flow may be in flight together without changing its trades.

Over HTTP, requests in flight at the same time may be sequenced in any order. Sending one at a time
is safe and slow. This schedule admits a command while others are in flight only if every possible
sequence gives the same trades and the same queues.

It follows the flow with a book of its own (`_book`: every command sent so far, applied in flow
order). While commands are in flight, the venue's real book lies between two bounds:

- the *sure* book: only acknowledged orders, without those whose cancel was sent;
- the *widest* book: `_book`, and also the orders whose cancel is still in flight.

The rules, each true for every book between the bounds:

1. An order that crosses nothing in the widest book rests. Two orders that rest at the same price
   and side are never in flight together: their places in the queue would be random.
2. A post-only order that crosses something in the sure book is refused and changes nothing.
3. A cancel is sent once its order is acknowledged, unless an order of rule 2 in flight is refused
   only because of that order.
4. A cancel of an order that has ended changes nothing, once that order is acknowledged.
5. Any other command may trade: it is sent alone.

The schedule affects only speed. A comparison checks the trades afterwards.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from matching.engine.core import Engine
from matching.engine.messages import BUY, GTC, IOC, SELL, STP_NONE, Cancel, Place
from matching.engine.resting import RestingOrder

_SYMBOL: Final = 1
_ACCOUNT: Final = 1
# The bound of a market order: beyond every price of a flow.
_BOUND_TICKS: Final = {BUY: 2**62, SELL: 1}


class Step(NamedTuple):
    """One command of a flow in the engine's integers. A cancel sets `order_id` only."""

    order_id: int
    is_cancel: bool
    side: int = BUY
    price_ticks: int = 0  # 0: a market order
    quantity_lots: int = 0
    budget_ticklots: int = 0
    post_only: bool = False
    is_void: bool = False  # the exchange refuses it (a price of 0): it changes nothing


class Effect(Enum):
    """What a command does to the book; it decides what may be in flight beside it."""

    REST = auto()
    REFUSED = auto()
    CANCEL = auto()
    NOTHING = auto()
    ALONE = auto()


@dataclass(slots=True)
class _InFlight:
    """Commands in flight, by order id: (effect, side, price). At most one per connection."""

    orders: dict[int, tuple[Effect, int, int]] = field(default_factory=dict)  # effect, side, price
    cancels: dict[int, tuple[Effect, int, int]] = field(default_factory=dict)

    def prices(self, effect: Effect, side: int) -> list[int]:
        group = self.cancels if effect is Effect.CANCEL else self.orders
        return [price for kind, of, price in group.values() if kind is effect and of == side]


class Schedule:
    """Follow one flow: ask `admits` for the next step, report `sent` and `acknowledged`."""

    def __init__(self) -> None:
        self._engine = Engine()
        self._book = self._engine.book(_SYMBOL)
        self._flying = _InFlight()
        self._alone = False

    @property
    def in_flight(self) -> int:
        """The number of commands in flight."""
        return len(self._flying.orders) + len(self._flying.cancels)

    @property
    def open_orders(self) -> int:
        """The number of orders that rest in this schedule's own book."""
        return len(self._book.orders)

    def admits(self, step: Step) -> bool:
        """Tell whether the flow's next command may be sent now."""
        return self._effect(step) is not None

    def sent(self, step: Step) -> None:
        """Record that an admitted command was sent."""
        effect = self._effect(step)
        assert effect is not None, "the command was not admitted"
        self._alone = effect is Effect.ALONE
        if step.is_cancel:
            target = self._book.orders.get(step.order_id)
            place = (target.side, target.price_ticks) if target is not None else (BUY, 0)
            self._flying.cancels[step.order_id] = (effect, *place)
        else:
            self._flying.orders[step.order_id] = (effect, step.side, step.price_ticks)
        self._apply(step)

    def acknowledged(self, step: Step) -> None:
        """Record that the exchange has answered a command."""
        group = self._flying.cancels if step.is_cancel else self._flying.orders
        del group[step.order_id]
        self._alone = False

    def _effect(self, step: Step) -> Effect | None:
        """Return the command's effect if it is the same in every possible book, else None."""
        if self._alone:
            return None
        if step.is_cancel:
            return self._cancel_effect(step)
        if step.is_void:
            return Effect.NOTHING
        if step.price_ticks:
            other = SELL if step.side == BUY else BUY
            if not _crosses(step.side, step.price_ticks, self._widest_best(other)):
                taken = step.price_ticks in self._flying.prices(Effect.REST, step.side)
                return None if taken else Effect.REST
            if step.post_only:
                sure = self._sure_best(other, without=0)
                return Effect.REFUSED if _crosses(step.side, step.price_ticks, sure) else None
        return None if self.in_flight else Effect.ALONE

    def _cancel_effect(self, step: Step) -> Effect | None:
        if step.order_id in self._flying.orders or step.order_id in self._flying.cancels:
            return None
        target = self._book.orders.get(step.order_id)
        if target is None:
            return Effect.NOTHING
        other = SELL if target.side == BUY else BUY
        refused = self._flying.prices(Effect.REFUSED, other)
        if refused:
            sure = self._sure_best(target.side, without=step.order_id)
            hardest = min(refused) if other == BUY else max(refused)
            if not _crosses(other, hardest, sure):
                return None
        return Effect.CANCEL

    def _widest_best(self, side: int) -> int | None:
        best = self._book.best_bid() if side == BUY else self._book.best_ask()
        prices = self._flying.prices(Effect.CANCEL, side)
        if best is not None:
            prices.append(best)
        if not prices:
            return None
        return max(prices) if side == BUY else min(prices)

    def _sure_best(self, side: int, *, without: int) -> int | None:
        """Return the best price at which an acknowledged order rests; skips levels in flight."""
        own = self._book.sides[side][0]
        for key in reversed(own.keys):
            if any(self._is_sure(order, without) for order in own.levels[key]):
                return key * own.sign
        return None

    def _is_sure(self, order: RestingOrder, without: int) -> bool:
        return order.order_id != without and order.order_id not in self._flying.orders

    def _apply(self, step: Step) -> None:
        if step.is_cancel:
            self._engine.apply(Cancel(0, 0, _SYMBOL, step.order_id))
            return
        if step.is_void:
            return
        is_market = step.price_ticks == 0
        self._engine.apply(
            Place(
                step.order_id,
                0,
                _SYMBOL,
                step.order_id,
                _ACCOUNT,
                step.side,
                step.price_ticks or _BOUND_TICKS[step.side],
                step.quantity_lots,
                IOC if is_market else GTC,
                step.post_only,
                is_market,
                step.budget_ticklots,
                STP_NONE,
            )
        )


def _crosses(side: int, price_ticks: int, best_ticks: int | None) -> bool:
    if best_ticks is None:
        return False
    return price_ticks >= best_ticks if side == BUY else price_ticks <= best_ticks
