"""The seeded stream of requests that a load sends: placements, and what bots do to own orders.

A share of the placements meets at the middle price with alternating sides, and trades. The others
rest on levels around it and stay open, until a cancel or an amend of this load names them. The
middle price may walk at random, or drift.
"""

from collections import deque
from random import Random
from typing import Final

import msgspec

ORDERS_PATH: Final = "/api/v1/orders"
BATCH_PATH: Final = f"{ORDERS_PATH}/batch"


class Mix(msgspec.Struct, frozen=True):
    """Shares of the requests that cancel and amend own open orders; the rest places orders."""

    cancels: float = 0.0
    amends: float = 0.0
    # They begin when so many orders are open, and take the oldest first: a bot waits for the end of
    # an amend before it amends the same order again.
    open_min: int = 1_000


# Of the bots' placements 0.28 of all requests rest, so that more cancels would find nothing open.
MIXES: Final = {"places": Mix(), "bots": Mix(cancels=0.25, amends=0.35)}


class Market(msgspec.Struct, frozen=True):
    """The symbols and their price; prices are whole ticks."""

    symbols: list[str]
    price_ticks: int = 100_000
    tick: str = "0.01"
    quantity: str = "0.01"
    levels: int = 400  # on each side, where orders rest
    walk_ticks: int = 0  # the middle price goes up or down by so much at most with each request
    drift_ticks: float = 0.0  # and by exactly so much


class OwnOrder(msgspec.Struct, gc=False):
    """An open order of this load."""

    user: int
    side: int
    ticks: int
    order_id: str = ""


class Request(msgspec.Struct, gc=False):
    """One request; `order` is open once it is accepted."""

    user: int
    method: str
    path: str
    body: bytes
    order: OwnOrder | None


class Requests:
    """The stream of one load; it learns from the answers which orders are open."""

    def __init__(
        self,
        market: Market,
        mix: Mix,
        *,
        users: int,
        trading_share: float,
        seed: int,
        mark: str,
        batch: int = 1,
    ) -> None:
        assert batch == 1 or mix == MIXES["places"], "batches place orders, and nothing else"
        self._batch = batch
        self._batch_side = 0
        self._market = market
        self._mix = mix
        self._random = Random(seed)  # a load, not a secret
        self._half = users // 2
        self._trading_share = trading_share
        self._mark = mark.encode()
        self._symbols = [symbol.encode() for symbol in market.symbols]
        self._quantity = market.quantity.encode()
        self._places = len(market.tick.partition(".")[2])
        self._middle = float(market.price_ticks)
        self._number = 0
        self._turns = [0, 0]
        self._meeting_sides = [0] * len(market.symbols)
        self._open: deque[OwnOrder] = deque()

    def next(self) -> Request:
        """Return the next request; an order has one request about it under way at most."""
        self._middle_moves()
        if self._batch > 1:
            return self._place_batch()
        mix = self._mix
        if len(self._open) > mix.open_min and mix.cancels + mix.amends > 0:
            chance = self._random.random()
            if chance < mix.cancels:
                return self._cancel(self._open.popleft())
            if chance < mix.cancels + mix.amends:
                return self._amend(self._open.popleft())
        return self._place()

    def accepted(self, request: Request, order_id: str) -> None:
        """Note that a request was accepted, and the id of its order."""
        if request.order is not None:
            request.order.order_id = order_id
            self._open.append(request.order)

    def refused(self, request: Request) -> None:
        """Note that a request had no effect; an order that was to be amended is still open."""
        if request.order is not None and request.order.order_id:
            self._open.append(request.order)

    def _middle_moves(self) -> None:
        market = self._market
        if market.walk_ticks:
            self._middle += self._random.randrange(-market.walk_ticks, market.walk_ticks + 1)
        self._middle = max(self._middle + market.drift_ticks, market.levels + 1.0)

    def _cancel(self, order: OwnOrder) -> Request:
        return Request(order.user, "DELETE", f"{ORDERS_PATH}/{order.order_id}", b"", None)

    def _amend(self, order: OwnOrder) -> Request:
        ticks = self._resting_ticks(order.side)
        order.ticks = ticks if ticks != order.ticks else ticks + (1 if order.side else -1)
        path = f"{ORDERS_PATH}/{order.order_id}"
        return Request(
            order.user, "PATCH", path, b'{"price":"%b"}' % self._text(order.ticks), order
        )

    def _place(self) -> Request:
        self._number += 1
        place = self._number % len(self._symbols)
        order = None
        if self._random.random() < self._trading_share:
            # Sides alternate at one price: an order trades with a resting one, or rests itself.
            side = self._meeting_sides[place]
            self._meeting_sides[place] = 1 - side
            ticks = int(self._middle)
            user = self._user(side)
        else:
            side = self._random.randrange(2)
            ticks = self._resting_ticks(side)
            user = self._user(side)
            order = OwnOrder(user, side, ticks)
        return Request(user, "POST", ORDERS_PATH, self._body(place, side, ticks), order)

    def _place_batch(self) -> Request:
        """Return orders of one user, on one side; those of the next batch are on the other."""
        side, self._batch_side = self._batch_side, 1 - self._batch_side
        user = self._user(side)
        bodies = []
        for _ in range(self._batch):
            self._number += 1
            is_meeting = self._random.random() < self._trading_share
            ticks = int(self._middle) if is_meeting else self._resting_ticks(side)
            bodies.append(self._body(self._number % len(self._symbols), side, ticks))
        return Request(user, "POST", BATCH_PATH, b'{"orders":[%b]}' % b",".join(bodies), None)

    def _body(self, place: int, side: int, ticks: int) -> bytes:
        return (
            b'{"symbol":"%b","side":"%b","type":"limit","client_order_id":"%b.%d",'
            b'"price":"%b","quantity":"%b"}'
        ) % (
            self._symbols[place],
            b"sell" if side else b"buy",
            self._mark,
            self._number,
            self._text(ticks),
            self._quantity,
        )

    def _user(self, side: int) -> int:
        """Return the next user: the first half of them buys, the second half sells."""
        turn = self._turns[side] = (self._turns[side] + 1) % self._half
        return turn + side * self._half

    def _resting_ticks(self, side: int) -> int:
        away = self._random.randrange(1, max(self._market.levels, 2))
        return int(self._middle) + (away if side else -away)

    def _text(self, ticks: int) -> bytes:
        whole, rest = divmod(ticks, 10**self._places)
        return b"%d.%0*d" % (whole, self._places, rest)
