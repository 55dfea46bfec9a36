"""The living market of a demonstration: makers that trade with each other through the public API.

Each symbol has a seeded generator with a list of its own open orders. From time to time that list
is compared with the exchange's, so that trades of others, or a process that was killed, leave no
stray orders behind.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from config.demo.client import Client, Credentials, OutcomeUnknown
from config.demo.flow import FlowCommand
from config.demo.generator import BOOK_FULL_SHARE, MarketGenerator
from config.demo.reference import SYMBOLS, DemoSymbol
from config.demo.responses import ClientError, Response

logger = logging.getLogger(__name__)

FILL_RATE: Final = 150.0  # orders a second until the books are full
RECONCILE_SECONDS: Final = 20.0
BACKOFF_SECONDS: Final = (0.25, 5.0)  # first and longest wait after a failure
LIST_LIMIT: Final = 200
NOT_NOW: Final = frozenset({429, 500, 502, 503, 504})
SYMBOL_WEIGHTS: Final = (5, 3, 2)
assert len(SYMBOL_WEIGHTS) == len(SYMBOLS)


@dataclass(slots=True)
class _Market:
    """One symbol: its generator, and the exchange's ids of the generator's orders."""

    symbol: DemoSymbol
    generator: MarketGenerator
    # The generator's id -> the exchange's id and the maker that placed it.
    placed: dict[int, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        limit = self.generator.shape.open_orders_max * BOOK_FULL_SHARE
        return len(self.generator.book.orders) >= limit


class DemoMarket:
    """Keep the demonstration's symbols trading until told to stop."""

    def __init__(
        self, base_url: str, makers: Sequence[Credentials], *, seed: int, rate_per_second: float
    ) -> None:
        assert makers
        assert rate_per_second > 0
        self._clients = [Client(base_url, one) for one in makers]
        self._random = Random(seed)  # noqa: S311  # a market, not a secret
        self._markets = [
            _Market(symbol, MarketGenerator(symbol.shape, seed=seed + place))
            for place, symbol in enumerate(SYMBOLS)
        ]
        self._rate = rate_per_second
        # Sets the orders of this run apart from those of earlier ones.
        self._run = f"demo{time.time_ns() // 1_000_000:x}"
        self._refused: Counter[str] = Counter()
        self.is_stopping = False
        self.sent = 0

    def run(self, seconds: float = 0.0) -> None:
        """Trade for `seconds`, or until `is_stopping`; 0: without end. Failures are waited out."""
        end = time.monotonic() + seconds if seconds else float("inf")
        next_at = time.monotonic()
        reconcile_at = 0.0  # at once: an earlier run may have left orders
        while not self.is_stopping and time.monotonic() < end:
            if time.monotonic() >= reconcile_at:
                self._reconcile()
                self._say_refused()
                reconcile_at = time.monotonic() + RECONCILE_SECONDS
            market = self._choose()
            self._act(market, market.generator.step(0))
            rate = self._rate if market.is_full else max(self._rate, FILL_RATE)
            next_at = max(next_at + 1 / rate, time.monotonic() - 1.0)
            time.sleep(max(0.0, next_at - time.monotonic()))

    def close(self) -> None:
        """Close the connections; open orders stay in the books."""
        for client in self._clients:
            client.close()

    def _choose(self) -> _Market:
        empty = [market for market in self._markets if not market.is_full]
        if empty:
            return self._random.choice(empty)
        return self._random.choices(self._markets, SYMBOL_WEIGHTS)[0]

    def _act(self, market: _Market, command: FlowCommand) -> None:
        if command.action == "cancel":
            known = market.placed.pop(command.order_id, None)
            if known is not None:
                # A refusal means that the order has ended, which is as good.
                self._ask(known[1], "DELETE", f"/api/v1/orders/{known[0]}")
            return
        maker = self._random.randrange(len(self._clients))
        response = self._ask(maker, "POST", order=self._order(market, command))
        if response is None or response.status >= 300:
            market.generator.forget(command.order_id)
            if response is not None:
                self._refused[response.code()] += 1
            return
        if command.type != "market":
            market.placed[command.order_id] = (str(response.json()["id"]), maker)
        # The generator never cancels an order that the simple book has filled.
        for trade in market.generator.trades:
            for order_id in (trade.buy_order_id, trade.sell_order_id):
                if order_id not in market.generator.book.orders:
                    market.placed.pop(order_id, None)

    def _order(self, market: _Market, command: FlowCommand) -> dict[str, Any]:
        order: dict[str, Any] = {
            "symbol": market.symbol.code,
            "side": command.side,
            "type": "market" if command.type == "market" else "limit",
            "client_order_id": f"{self._run}.{market.symbol.code}.{command.order_id}",
            "quantity": format(command.quantity, "f"),
        }
        if command.price is not None:
            order["price"] = format(command.price, "f")
        if command.type == "post_only":
            order["post_only"] = True
        return order

    def _ask(
        self, maker: int, method: str, path: str = "", *, order: dict[str, Any] | None = None
    ) -> Response | None:
        """Send until there is an answer (repeating is harmless); None when stopping."""
        wait, longest = BACKOFF_SECONDS
        client = self._clients[maker]
        while not self.is_stopping:
            try:
                if order is not None:
                    response = client.order_place(order)
                else:
                    response = client.request(method, path)
                if response.status not in NOT_NOW and not response.is_late:
                    self.sent += 1
                    return response
                self._refused[response.code()] += 1
            except OutcomeUnknown as error:
                logger.info("demo market repeats a request", extra={"error": str(error)})
            except ClientError as error:
                logger.info("demo market waits for the exchange", extra={"error": str(error)})
            time.sleep(wait * self._random.uniform(0.5, 1.0))
            wait = min(longest, wait * 2)
        return None

    def _reconcile(self) -> None:
        """Cancel open orders that the generator does not have; drop those that have ended."""
        for market in self._markets:
            ours = {place[0]: order_id for order_id, place in market.placed.items()}
            open_ids: set[str] = set()
            for maker in range(len(self._clients)):
                for order_id in self._open_orders(maker, market.symbol.code):
                    open_ids.add(order_id)
                    if order_id not in ours:
                        self._ask(maker, "DELETE", f"/api/v1/orders/{order_id}")
            for order_id, number in ours.items():
                if order_id not in open_ids:
                    market.placed.pop(number, None)
                    market.generator.forget(number)

    def _say_refused(self) -> None:
        if self._refused:
            logger.info("demo orders refused", extra={"by_code": dict(self._refused)})
            self._refused.clear()

    def _open_orders(self, maker: int, symbol: str) -> list[str]:
        path = f"/api/v1/orders?symbol={symbol}&status=open&limit={LIST_LIMIT}"
        response = self._ask(maker, "GET", path)
        if response is None or response.status != 200:
            return []
        body = response.json()
        return [str(row["id"]) for row in body["items"]]
