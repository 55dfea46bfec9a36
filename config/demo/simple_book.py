"""A plain book with price-time priority, by which the generator knows its own market.

Deliberately obvious (dicts of lists, best price by min and max) and independent of matching/, so
that generated recordings are a second opinion on the engine. Prices in ticks, quantities in lots.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class SimpleTrade(NamedTuple):
    """One match at the maker's price."""

    price_ticks: int
    quantity_lots: int
    maker_id: int
    taker_id: int


@dataclass(slots=True)
class SimpleOrder:
    """An order that rests, with the lots it has left."""

    order_id: int
    side: str
    price_ticks: int
    left_lots: int


@dataclass(slots=True)
class SimpleBook:
    """Resting orders by side and price, oldest first."""

    levels: dict[str, dict[int, list[SimpleOrder]]] = field(
        default_factory=lambda: {"buy": {}, "sell": {}}
    )
    orders: dict[int, SimpleOrder] = field(default_factory=dict)

    def best(self, side: str) -> int | None:
        """The highest bid or the lowest ask in ticks."""
        prices = self.levels[side]
        if not prices:
            return None
        return max(prices) if side == "buy" else min(prices)

    def crosses(self, side: str, price_ticks: int) -> bool:
        """Tell whether an order at this price would trade."""
        best = self.best(_other(side))
        if best is None:
            return False
        return best <= price_ticks if side == "buy" else best >= price_ticks

    def place(
        self, order_id: int, side: str, price_ticks: int | None, lots: int, *, post_only: bool
    ) -> list[SimpleTrade]:
        """Enter an order; without a price it is a market order, whose rest does not stay."""
        assert lots > 0
        if post_only:
            assert price_ticks is not None
            if self.crosses(side, price_ticks):
                return []
        trades: list[SimpleTrade] = []
        while lots and (best := self.best(_other(side))) is not None:
            if price_ticks is not None and not self.crosses(side, price_ticks):
                break
            maker = self.levels[_other(side)][best][0]
            filled = min(lots, maker.left_lots)
            lots -= filled
            maker.left_lots -= filled
            trades.append(SimpleTrade(best, filled, maker.order_id, order_id))
            if maker.left_lots == 0:
                self.remove(maker.order_id)
        if lots and price_ticks is not None:
            order = SimpleOrder(order_id, side, price_ticks, lots)
            self.orders[order_id] = order
            self.levels[side].setdefault(price_ticks, []).append(order)
        return trades

    def remove(self, order_id: int) -> bool:
        """Take an order out; False where it does not rest."""
        order = self.orders.pop(order_id, None)
        if order is None:
            return False
        level = self.levels[order.side][order.price_ticks]
        level.remove(order)
        if not level:
            del self.levels[order.side][order.price_ticks]
        return True


def _other(side: str) -> str:
    return "sell" if side == "buy" else "buy"
