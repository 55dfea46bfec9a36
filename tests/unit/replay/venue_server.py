"""A small HTTP server that answers like the order API, on the simple book: the tools' network edge.

It misbehaves on demand: some requests are refused as busy, some are carried out and never answered.
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from config.demo.simple_book import SimpleBook

PRICE_STEPS = 1_000_000


class PaperVenue:
    """Orders in arrival order, one at a time; every client order id once."""

    def __init__(
        self,
        *,
        busy_share: float = 0.0,
        silent_share: float = 0.0,
        late_first: int = 0,
        late_as: tuple[int, str] = (422, "order.no_liquidity"),
        first_seconds: float = 0.0,
    ) -> None:
        self.first_seconds = first_seconds  # the first request takes so long
        self.late_first = late_first  # so many orders come before the best price is published
        self.late_as = late_as  # or are taken up after the window of their signatures
        self.lock = threading.Lock()
        self.random = Random(1)
        self.busy_share = busy_share
        self.silent_share = silent_share
        self.books: dict[str, SimpleBook] = {}
        self.ids = itertools.count(1)
        self.orders: dict[int, dict[str, Any]] = {}
        self.by_client: dict[str, int] = {}
        self.trades: list[tuple[str, str, Decimal, Decimal]] = []  # maker, taker, price, quantity
        self.keys: set[str] = set()

    def place(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = self.by_client.get(order["client_order_id"])
        if known is not None:
            return 200, self.orders[known]
        if order.get("price") == "0":
            return 422, {"code": "order.price_below_min"}
        if self.late_first > 0:
            self.late_first -= 1
            status, code = self.late_as
            return status, {"code": code}
        order_id = next(self.ids)
        self.orders[order_id] = {**order, "id": str(order_id)}
        self.by_client[order["client_order_id"]] = order_id
        price = Decimal(order["price"]) if "price" in order else None
        book = self.books.setdefault(order["symbol"], SimpleBook())
        for trade in book.place(
            order_id,
            order["side"],
            None if price is None else int(price * PRICE_STEPS),
            int(Decimal(order["quantity"]) * 100_000),
            post_only=bool(order.get("post_only")),
        ):
            self.trades.append(
                (
                    self.orders[trade.maker_id]["client_order_id"],
                    order["client_order_id"],
                    Decimal(trade.price_ticks) / PRICE_STEPS,
                    Decimal(trade.quantity_lots) / 100_000,
                )
            )
        return 201, self.orders[order_id]

    def cancel(self, order_id: int) -> tuple[int, dict[str, Any]]:
        if not self.books[self.orders[order_id]["symbol"]].remove(order_id):
            return 409, {"code": "order.not_open"}
        return 202, self._under_way(order_id)

    def amend(self, order_id: int) -> tuple[int, dict[str, Any]]:
        """Accept an amend of an open order; the book stays as it is."""
        if not self.is_open(order_id):
            return 409, {"code": "order.not_open"}
        return 202, self._under_way(order_id)

    def _under_way(self, order_id: int) -> dict[str, Any]:
        return {**self.orders[order_id], "command_id": str(next(self.ids))}

    def listed(self, path: str) -> dict[str, Any]:
        (symbol,) = parse_qs(urlsplit(path).query)["symbol"]
        book = self.books.get(symbol, SimpleBook())
        return {"items": [self.orders[one] for one in book.orders], "next": None}

    def is_open(self, order_id: int) -> bool:
        return any(order_id in book.orders for book in self.books.values())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment
    venue: ClassVar[PaperVenue]

    def do_POST(self) -> None:  # the base class's name
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self._serve(lambda: self.venue.place(body))

    def do_PATCH(self) -> None:  # the base class's name
        self.rfile.read(int(self.headers["Content-Length"]))
        order_id = int(self.path.rpartition("/")[2])
        self._serve(lambda: self.venue.amend(order_id))

    def do_DELETE(self) -> None:  # the base class's name
        order_id = int(self.path.rpartition("/")[2])
        self._serve(lambda: self.venue.cancel(order_id))

    def do_GET(self) -> None:  # the base class's name
        self._serve(lambda: (200, self.venue.listed(self.path)))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self, act: Any) -> None:
        venue = self.venue
        with venue.lock:
            time.sleep(venue.first_seconds)
            venue.first_seconds = 0.0
            venue.keys.add(self.headers["X-Takas-Key"])
            chance = venue.random.random()
            if chance < venue.busy_share:
                status, answer = 503, {"code": "engine.busy"}
            else:
                status, answer = act()
        if venue.busy_share <= chance < venue.busy_share + venue.silent_share:
            self.close_connection = True  # carried out, and the answer is lost
            return
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def venue_server(venue: PaperVenue) -> Iterator[str]:
    """Serve a venue on a free port; yield its address."""
    handler = type("Handler", (_Handler,), {"venue": venue})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
