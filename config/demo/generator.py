"""A seeded market: the commands of many small traders around a wandering price. Pure.

The price reverts to its mean; most orders are passive and near the touch, many are cancelled,
some take a level, a few sweep several. The generator keeps its own book
(config/demo/simple_book.py) to know where the touch is; on a live exchange the real book differs a
little, which `forget` repairs. The same seed gives the same commands.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from config.demo.flow import FlowCommand, FlowTrade
from config.demo.simple_book import SimpleBook

# How often each kind of command is drawn once the book is full, in a thousand.
PASSIVE_PER_MILLE: Final = 560
CANCEL_PER_MILLE: Final = 330
TAKE_PER_MILLE: Final = 95  # the rest sweeps
BOOK_FULL_SHARE: Final = 0.6  # below this share of the open-order limit, only passive orders


@dataclass(frozen=True, slots=True)
class MarketShape:
    """The parameters of one symbol's market. Prices in quote units, sizes in base units."""

    price: Decimal
    tick: Decimal
    lot: Decimal
    order_size: Decimal  # the median
    volatility_ppm: int = 60  # standard deviation of one step of the price, in millionths
    reversion_ppm: int = 2_000  # share of the way back to the mean, each step, in millionths
    spread_ppm: int = 150  # usual half spread
    depth_ppm: int = 1_500  # how far passive orders lie behind the touch, on average
    open_orders_max: int = 240


class MarketGenerator:
    """An endless stream of commands for one symbol."""

    def __init__(self, shape: MarketShape, *, seed: int, first_order_id: int = 1) -> None:
        self.shape = shape
        self.book = SimpleBook()
        self.trades: list[FlowTrade] = []  # of the last command
        self._random = Random(seed)  # noqa: S311  # a market, not a secret
        self._next_id = first_order_id
        self._drift = 0.0  # log of price over mean
        self._mean_ticks = shape.price / shape.tick

    @property
    def price_ticks(self) -> int:
        """Return the present wandering price, in ticks."""
        return max(2, round(float(self._mean_ticks) * math.exp(self._drift)))

    def forget(self, order_id: int) -> None:
        """Drop an order that the exchange no longer has open."""
        self.book.remove(order_id)

    def step(self, time_ms: int) -> FlowCommand:
        """Return the next command; `trades` then holds what it would trade in this book."""
        shape, random = self.shape, self._random
        self.trades = []
        self._drift += -self._drift * shape.reversion_ppm / 1e6 + random.gauss(
            0.0, shape.volatility_ppm / 1e6
        )
        open_orders = len(self.book.orders)
        if open_orders >= shape.open_orders_max:
            return self._cancel(time_ms, oldest=True)
        if open_orders < shape.open_orders_max * BOOK_FULL_SHARE:
            return self._passive(time_ms)
        draw = random.randrange(1_000)
        if draw < PASSIVE_PER_MILLE:
            return self._passive(time_ms)
        if draw < PASSIVE_PER_MILLE + CANCEL_PER_MILLE:
            return self._cancel(time_ms, oldest=False)
        is_sweep = draw >= PASSIVE_PER_MILLE + CANCEL_PER_MILLE + TAKE_PER_MILLE
        return self._take(time_ms, sweep=is_sweep)

    def commands(self, count: int, *, interval_ms: int = 10) -> Iterator[FlowCommand]:
        """Yield a bounded flow; read `trades` after each command."""
        for number in range(count):
            yield self.step(number * interval_ms)

    def _passive(self, time_ms: int) -> FlowCommand:
        random, shape = self._random, self.shape
        side = random.choice(("buy", "sell"))
        mid = self.price_ticks
        distance = shape.spread_ppm + random.expovariate(1 / shape.depth_ppm)
        away = max(1, round(mid * distance / 1e6))
        price_ticks = max(1, mid - away if side == "buy" else mid + away)
        # One in eight is an ordinary limit order: it trades where the price has moved past it.
        kind = "limit" if random.randrange(8) == 0 else "post_only"
        if kind == "post_only" and self.book.crosses(side, price_ticks):
            kind = "limit"  # the price moved through resting orders: take them
        return self._order(time_ms, side, kind, price_ticks, self._lots(1.0))

    def _take(self, time_ms: int, *, sweep: bool) -> FlowCommand:
        """Return an order that takes from either side; with `sweep`, from several levels."""
        random = self._random
        side = random.choice(("buy", "sell"))
        other = "sell" if side == "buy" else "buy"
        best = self.book.best(other)
        if best is None:
            return self._passive(time_ms)
        reach = round(best * self.shape.depth_ppm * (2 if sweep else 0) / 1e6)
        price_ticks = max(1, best + reach if side == "buy" else best - reach)
        lots = self._lots(6.0 if sweep else 0.8)
        kind = "market" if random.randrange(5) == 0 else "limit"
        return self._order(time_ms, side, kind, price_ticks, lots)

    def _cancel(self, time_ms: int, *, oldest: bool) -> FlowCommand:
        orders = self.book.orders
        if not orders:
            return self._passive(time_ms)
        order_id = next(iter(orders)) if oldest else self._random.choice(list(orders))
        self.book.remove(order_id)
        return FlowCommand(time_ms, "cancel", order_id)

    def _lots(self, factor: float) -> int:
        size = float(self.shape.order_size / self.shape.lot) * factor
        return max(1, round(size * self._random.lognormvariate(0.0, 0.7)))

    def _order(
        self, time_ms: int, side: str, kind: str, price_ticks: int, lots: int
    ) -> FlowCommand:
        order_id = self._next_id
        self._next_id += 1
        is_market = kind == "market"
        trades = self.book.place(
            order_id,
            side,
            None if is_market else price_ticks,
            lots,
            post_only=kind == "post_only",
        )
        for trade in trades:
            buyer, seller = (
                (order_id, trade.maker_id) if side == "buy" else (trade.maker_id, order_id)
            )
            self.trades.append(
                FlowTrade(
                    time_ms,
                    trade.price_ticks * self.shape.tick,
                    trade.quantity_lots * self.shape.lot,
                    buyer,
                    seller,
                    side,
                )
            )
        return FlowCommand(
            time_ms,
            "new",
            order_id,
            side,
            kind,
            None if is_market else price_ticks * self.shape.tick,
            lots * self.shape.lot,
        )
