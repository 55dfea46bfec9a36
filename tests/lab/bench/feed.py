"""Measure the feed: the time from an order's answer to its trade on a subscriber's socket."""

import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket_connect
from websockets.typing import Origin

from config.demo.client import Client, address_of
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, venue_open
from tests.lab.clients.latency import Latencies

FEED_TIMEOUT_SECONDS: Final = 10.0
FEED_PAUSE_SECONDS: Final = 0.02
FRAMES_SKIPPED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class FeedResult:
    """Latencies of the trade's frame, from the taker's answer and from its request."""

    from_answer: Latencies
    from_request: Latencies

    def lines(self) -> list[str]:
        """The table of one run."""
        return [
            f"accepted -> trade on the socket   {self.from_answer.summary()}",
            f"request sent -> trade on socket   {self.from_request.summary()}",
            f"samples                           {self.from_answer.count:,}",
        ]


def feed(url: str, ws_url: str, samples: int) -> FeedResult:
    """Let two users trade `samples` times; time each trade's frame on a third party's socket."""
    symbol, bots = venue_open(2)
    buyer, seller = (Client(url, bot.credentials) for bot in bots)
    result = FeedResult(Latencies(), Latencies())
    channel = f"{symbol.code}@trade"
    host, port = address_of(url)
    with websocket_connect(ws_url, origin=Origin(f"http://{host}:{port}")) as socket:
        socket.send(
            msgspec.json.encode({"op": "subscribe", "channels": [channel], "id": 1}).decode()
        )
        frame_next(socket, "subscribed")
        for number in range(samples):
            order = {
                "symbol": symbol.code,
                "type": "limit",
                "price": format(PRICE_TICKS * TICK, "f"),
                "quantity": QUANTITY,
            }
            rested = buyer.order_place({**order, "side": "buy", "client_order_id": f"f{number}"})
            assert rested.status == 201, rested.body
            time.sleep(FEED_PAUSE_SECONDS)
            sent_at = time.perf_counter()
            taken = seller.order_place({**order, "side": "sell", "client_order_id": f"f{number}"})
            answered_at = time.perf_counter()
            assert taken.status == 201, taken.body
            frame_next(socket, "trade")
            arrived_at = time.perf_counter()
            result.from_answer.add(arrived_at - answered_at)
            result.from_request.add(arrived_at - sent_at)
    buyer.close()
    seller.close()
    return result


def frame_next(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next frame of that type, skipping others. Raises TimeoutError."""
    for _ in range(FRAMES_SKIPPED_MAX):
        frame = msgspec.json.decode(socket.recv(timeout=FEED_TIMEOUT_SECONDS))
        if frame.get("type") == kind:
            return dict(frame)
        assert frame.get("type") != "error", frame
    raise AssertionError(f"no {kind} frame came")
