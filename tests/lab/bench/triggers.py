"""Measure stops: the time from the triggering trade to the stop's own trade on a socket.

It also measures many stops that one trade triggers: the time until the last of them has traded.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket_connect
from websockets.typing import Origin

from config.demo.client import Client, Credentials, Signer, address_of
from tests.lab.bench.feed import frame_next
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, venue_open
from tests.lab.clients.connections import Connections
from tests.lab.clients.latency import Latencies

Write = Callable[[str], object]

CROWD_USERS: Final = 50
CROWD_CONNECTIONS: Final = 48
LOAD_WAIT_SECONDS: Final = 0.5
SETTLE_SECONDS: Final = 0.05  # long enough for an order to rest in the book
FRAMES_MAX: Final = 100_000
STOP_TICKS: Final = PRICE_TICKS - 10
UP, AT_STOP, BELOW = (
    format(ticks * TICK, "f") for ticks in (PRICE_TICKS, STOP_TICKS, STOP_TICKS - 1)
)


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """Latencies of single stops, and the time that many stops took."""

    from_trade: Latencies
    from_answer: Latencies
    crowd: int
    crowd_seconds: float  # from the triggering trade's frame to the last stop's trade
    crowd_from_answer_seconds: float

    def lines(self) -> list[str]:
        """Return the table of one run."""
        return [
            f"trade -> the stop's own trade on the socket   {self.from_trade.summary()}",
            f"answer to the trade's order -> the same       {self.from_answer.summary()}",
            f"samples                                       {self.from_trade.count:,}",
            f"{self.crowd:,} stops triggered by one trade, all traded   {self.crowd_seconds:.2f} s"
            f" after it ({self.crowd_from_answer_seconds:.2f} s after its order's answer)",
        ]


def triggers(url: str, ws_url: str, *, samples: int, crowd: int, write: Write) -> TriggerResult:
    """Measure `samples` single stops, then `crowd` stops at once, on one new symbol."""
    symbol, bots = venue_open(CROWD_USERS)
    stage = _Stage(url, symbol.code, [bot.credentials for bot in bots])
    from_trade, from_answer = Latencies(), Latencies()
    with _trades(ws_url, url, symbol.code) as socket:
        for number in range(samples):
            _sample(stage, socket, number, from_trade, from_answer)
        write(f"{samples} single stops timed; placing {crowd:,} stops")
        seconds, from_answer_seconds = _crowd(stage, socket, crowd)
    stage.close()
    return TriggerResult(from_trade, from_answer, crowd, seconds, from_answer_seconds)


class _Stage:
    """The traders: one buyer, two sellers, and a crowd that sells."""

    def __init__(self, url: str, symbol: str, credentials: list[Credentials]) -> None:
        self.url = url
        self.symbol = symbol
        self.buyer = Client(url, credentials[0])
        self.seller, self.holder = (Client(url, one) for one in credentials[-2:])
        self.crowd = credentials[len(credentials) // 2 :]

    def place(self, client: Client, **terms: str) -> None:
        """Place an order and assert that it was accepted."""
        answer = client.order_place({"symbol": self.symbol, **terms})
        assert answer.status == 201, answer.body

    def close(self) -> None:
        for client in (self.buyer, self.seller, self.holder):
            client.close()


@contextmanager
def _trades(ws_url: str, url: str, symbol: str) -> Iterator[ClientConnection]:
    """Yield a socket subscribed to the symbol's trades."""
    host, port = address_of(url)
    origin = Origin(f"http://{host}:{port}")
    # The exchange closes a slow socket, so the client takes frames off the socket at once.
    with websocket_connect(ws_url, origin=origin, max_queue=FRAMES_MAX) as socket:
        wish = {"op": "subscribe", "channels": [f"{symbol}@trade"], "id": 1}
        socket.send(msgspec.json.encode(wish).decode())
        frame_next(socket, "subscribed")
        yield socket


def _limit(side: str, price: str, mark: str, quantity: str = QUANTITY) -> dict[str, str]:
    return {
        "side": side,
        "type": "limit",
        "price": price,
        "quantity": quantity,
        "client_order_id": mark,
    }


def _stop(mark: str) -> dict[str, str]:
    return {
        "side": "sell",
        "type": "stop_market",
        "stop_price": AT_STOP,
        "quantity": QUANTITY,
        "client_order_id": mark,
    }


def _lift(stage: _Stage, socket: ClientConnection, mark: str) -> None:
    """Trade above the stop price, so that the stop is not triggered when it is placed."""
    stage.place(stage.buyer, **_limit("buy", UP, f"{mark}-up"))
    stage.place(stage.seller, **_limit("sell", UP, f"{mark}-up"))
    frame_next(socket, "trade")


def _sample(
    stage: _Stage,
    socket: ClientConnection,
    number: int,
    from_trade: Latencies,
    from_answer: Latencies,
) -> None:
    mark = f"t{number}"
    _lift(stage, socket, mark)
    stage.place(stage.buyer, **_limit("buy", AT_STOP, f"{mark}-at"))
    stage.place(stage.buyer, **_limit("buy", BELOW, f"{mark}-below"))
    stage.place(stage.holder, **_stop(mark))
    time.sleep(SETTLE_SECONDS)
    stage.place(stage.seller, **_limit("sell", AT_STOP, f"{mark}-hit"))
    answered_at = time.perf_counter()
    frame_next(socket, "trade")
    traded_at = time.perf_counter()
    frame_next(socket, "trade")
    stopped_at = time.perf_counter()
    from_trade.add(stopped_at - traded_at)
    from_answer.add(stopped_at - answered_at)


def _crowd(stage: _Stage, socket: ClientConnection, crowd: int) -> tuple[float, float]:
    """Place `crowd` stops, trigger all by one trade, wait until each has traded."""
    _lift(stage, socket, "c")
    _load(stage, (_stop(f"c{number}") for number in range(crowd)), crowd)
    stage.place(stage.buyer, **_limit("buy", BELOW, "c-below", f"{crowd}"))
    stage.place(stage.buyer, **_limit("buy", AT_STOP, "c-at"))
    time.sleep(SETTLE_SECONDS)
    stage.place(stage.seller, **_limit("sell", AT_STOP, "c-hit"))
    answered_at = time.perf_counter()
    frame_next(socket, "trade")
    traded_at = time.perf_counter()
    for _ in range(crowd):
        frame_next(socket, "trade")
    now = time.perf_counter()
    return now - traded_at, now - answered_at


def _load(stage: _Stage, orders: Iterable[dict[str, Any]], count: int) -> None:
    """Place many orders over many connections; each must be accepted."""
    host, port = address_of(stage.url)
    signers = [Signer(f"{host}:{port}", one) for one in stage.crowd]
    connections: Connections[None] = Connections(stage.url, CROWD_CONNECTIONS)
    left = enumerate(orders)
    taken = 0
    while taken < count:
        while connections.free and (following := next(left, None)) is not None:
            number, order = following
            body = msgspec.json.encode({"symbol": stage.symbol, **order})
            connections.send(
                signers[number % len(signers)].request("POST", "/api/v1/orders", body), None
            )
        for answer in connections.wait(LOAD_WAIT_SECONDS):
            assert answer.response is not None, "an answer was lost"
            assert answer.response.status == 201, answer.response.body
            taken += 1
    connections.close()
