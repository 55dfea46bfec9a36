"""Trade orders of every type on a symbol of their own, beside the market of a crash run.

The seed chooses the trader and the request: stops, take-profits, trailing stops, icebergs, orders
with an expiry, lists, amends, mass cancels, cancel-afters. A request without an answer is sent
again under the same client order id until it has one. Accepted orders and cancels go to the
evidence file.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import msgspec

from config.demo.client import Client, Credentials
from config.demo.responses import ClientError, Response
from tests.lab.crash.evidence import Acknowledged, EvidenceFile

INTERVAL_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 0.25
# A killed role is back long before; a longer wait means that something is broken.
ANSWER_SECONDS_MAX: Final = 120.0
MIDDLE: Final = 60_000
RECENT: Final = 20
ASKS: Final = {
    "limit": 30,
    "iceberg": 6,
    "dated": 6,
    "reprice": 4,
    "market": 8,
    "stop_market": 6,
    "stop_limit": 6,
    "take_profit": 4,
    "take_profit_limit": 4,
    "trailing_stop": 6,
    "list": 10,
    "cancel": 8,
    "amend": 8,
    "cancel_all": 1,
    "cancel_after": 2,
}

# Refusals that the market can cause before a request is answered; any other one is a fault.
EXPECTED_CODES: Final = frozenset(
    {
        "order.amend_below_filled",
        "order.amend_pending",
        "order.expires_at_invalid",  # it passed while roles were down
        "order.list_amend_not_allowed",
        "order.no_liquidity",
        "order.not_open",
    }
)

_ENCODE: Final = msgspec.json.Encoder().encode


class EveryType(threading.Thread):
    """Trade until stopped; `error` keeps an exception for the thread that joins."""

    def __init__(
        self,
        base_url: str,
        symbol: str,
        credentials: Sequence[Credentials],
        evidence: EvidenceFile,
        seed: int,
    ) -> None:
        super().__init__(name="every-type", daemon=True)
        self.answers: Counter[str] = Counter()
        self.error: Exception | None = None
        self._clients = [Client(base_url, one) for one in credentials]
        self._symbol = symbol
        self._evidence = evidence
        self._random = Random(seed)  # a test plan, not a secret
        self._stopping = threading.Event()
        self._count = 0
        self._placed: list[tuple[int, str]] = []  # (client, order id)

    def run(self) -> None:
        """Send one request at a time until stopped."""
        try:
            while not self._stopping.wait(INTERVAL_SECONDS):
                self._ask()
        except Exception as error:  # raised by the thread that joins
            self.error = error
        finally:
            for client in self._clients:
                client.close()

    def stop(self) -> None:
        """Send no more requests."""
        self._stopping.set()

    def _ask(self) -> None:
        who = self._random.randrange(len(self._clients))
        kind = self._random.choices(list(ASKS), list(ASKS.values()))[0]
        if kind in ("cancel", "amend"):
            self._change(kind)
        elif kind == "cancel_all":
            self._send(who, "DELETE", f"/api/v1/orders?symbol={self._symbol}")
        elif kind == "cancel_after":
            body = {"timeout_ms": self._random.choice([0, 1_000, 2_000]), "symbol": self._symbol}
            self._send(who, "POST", "/api/v1/orders/cancel-after", body)
        elif kind == "list":
            answer = self._send(who, "POST", "/api/v1/order-lists", self._list())
            for order in answer.json()["orders"] if answer.status < 300 else ():
                self._accepted(who, order, answer.status)
        else:
            order = {"symbol": self._symbol, **self._order(kind)}
            answer = self._send(who, "POST", "/api/v1/orders", order)
            if answer.status < 300:
                self._accepted(who, answer.json(), answer.status)

    def _accepted(self, who: int, order: dict[str, Any], status: int) -> None:
        order_id = str(order["id"])
        self._evidence.add(Acknowledged(str(order["client_order_id"]), order_id, False, status))
        self._placed.append((who, order_id))

    def _change(self, kind: str) -> None:
        if not self._placed:
            return
        who, order_id = self._random.choice(self._placed[-RECENT:])
        path = f"/api/v1/orders/{order_id}"
        if kind == "amend":
            self._send(who, "PATCH", path, {"quantity": self._quantity()})
            return
        answer = self._send(who, "DELETE", path)
        if answer.status < 300:
            name = str(answer.json()["client_order_id"])
            self._evidence.add(Acknowledged(name, order_id, True, answer.status))

    def _send(self, who: int, method: str, path: str, body: object = None) -> Response:
        """Send until there is a final answer. Raises TimeoutError after ANSWER_SECONDS_MAX."""
        data = b"" if body is None else _ENCODE(body)
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            answer = self._asked(who, method, path, data)
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}: not answered {ANSWER_SECONDS_MAX:.0f} s long")
            time.sleep(RETRY_SECONDS)

    def _asked(self, who: int, method: str, path: str, data: bytes) -> Response | None:
        try:
            answer = self._clients[who].request(method, path, data)
        except ClientError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[f"{answer.status} {answer.code()}".strip()] += 1
        if answer.status >= 500 or answer.status == 429 or answer.is_late:
            return None
        if answer.status >= 400 and answer.code() not in EXPECTED_CODES:
            raise AssertionError(f"{method} {path} {data!r}: {answer.status} {answer.body!r}")
        return answer

    # --- request bodies; prices and quantities are strings of whole ticks and lots

    def _order(self, kind: str, side: str = "", *, in_list: bool = False) -> dict[str, Any]:
        random = self._random
        self._count += 1
        order: dict[str, Any] = {
            "client_order_id": f"every-{self._count}",
            "side": side or random.choice(("buy", "sell")),
            "type": kind,
            "quantity": self._quantity(),
        }
        if kind in ("iceberg", "dated", "reprice"):
            order["type"] = "limit"
        if order["type"] in ("limit", "stop_limit", "take_profit_limit"):
            order["price"] = self._price()
        if order["type"].startswith(("stop", "take")):
            order["stop_price"] = self._price()
        match kind:
            case "iceberg":
                order |= {"quantity": "0.00300", "display_quantity": "0.00100"}
            case "dated":
                when = datetime.now(UTC) + timedelta(seconds=random.choice([2, 5, 20]))
                order |= {"time_in_force": "gtd", "expires_at": when.isoformat("T", "milliseconds")}
            case "reprice":
                order |= {"post_only": True, "reprice": True}
            case "trailing_stop":
                order |= {"trail_bps": random.choice([1, 2, 5]), "activation_price": self._price()}
        if not in_list and kind != "reprice":
            modes = ("cancel_incoming", "cancel_resting", "cancel_both", "decrement")
            order["self_trade_prevention"] = random.choice(modes)
        return order

    def _list(self) -> dict[str, Any]:
        random = self._random
        side, other = random.sample(("buy", "sell"), 2)
        kind = random.choice(("oco", "oto", "otoco"))
        pair_side = side if kind == "oco" else other
        pair = [
            self._order("limit", pair_side, in_list=True),
            self._order("stop_limit", pair_side, in_list=True),
        ]
        orders = pair if kind == "oco" else [self._order("limit", side, in_list=True), *pair]
        if kind == "oto":
            orders.pop()
        if kind != "oco":  # the parent's fills must pay for its children
            orders[0]["quantity"] = "0.00500"
        return {"type": kind, "symbol": self._symbol, "orders": orders}

    def _quantity(self) -> str:
        return f"0.00{self._random.randint(100, 300):03d}"

    def _price(self) -> str:
        return str(MIDDLE + self._random.randint(-12, 12))
