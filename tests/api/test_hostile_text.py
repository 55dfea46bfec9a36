"""Text that Postgres cannot hold (NUL and others), in every string that the API reads."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.http import HttpResponse
from django.test import Client

from orders.models import Order
from tests.api.test_parameters import operations
from tests.factories.trading import JSON, Trader, decoded, order_body

ORDER = order_body(time_in_force="gtc", self_trade_prevention="cancel_incoming")
STOP = {**ORDER, "type": "stop_limit", "stop_price": "90", "trigger_source": "last"}
LISTED = {name: value for name, value in STOP.items() if name != "symbol"}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/api/v1/orders": [ORDER, STOP],
    "/api/v1/orders/test": [ORDER, STOP],
    "/api/v1/orders/batch": [{"orders": []}],  # each order is refused for itself: test_batches.py
    "/api/v1/orders/batch-cancel": [{"order_ids": [], "client_order_ids": []}],
    "/api/v1/orders/1": [{"price": "1", "quantity": "1", "stop_price": "1"}],
    "/api/v1/order-lists": [{"type": "oco", "symbol": "BTC-USDT", "orders": [LISTED, LISTED]}],
    "/api/v1/orders/cancel-after": [
        {"timeout_ms": 60_000, "symbol": "BTC-USDT", "scope": "account"}
    ],
    "/api/v1/keys": [{"label": "bot", "scopes": ["read"]}],
}
# As they stand in a JSON text: NUL, half a surrogate pair, and bytes that are no text.
HOSTILE = [
    b"\\u0000",
    b"a\\u0000b",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
]
MARK = b"~here~"


def spoiled(body: Any) -> Iterator[Any]:
    """The body with a mark in one of its strings, or beside it, at a time."""
    if isinstance(body, str):
        yield MARK.decode()
        yield body + MARK.decode()
    elif isinstance(body, dict):
        for name, value in body.items():
            yield from ({**body, name: one} for one in spoiled(value))
        yield {**body, MARK.decode(): 1}
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from ([*body[:index], one, *body[index + 1 :]] for one in spoiled(value))


def refused(response: HttpResponse, what: object) -> None:
    answer = decoded(response)
    assert 400 <= response.status_code < 500, (what, answer)
    assert answer["code"] != "internal.error", (what, answer)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_in_every_string_of_every_body(ada: Trader, hostile: bytes) -> None:
    session = Client()
    session.force_login(ada.user)
    tried = 0
    for method, path, takes in operations():
        for body in BODIES[path] if takes.body else ():
            for one in spoiled(body):
                data = msgspec.json.encode(one).replace(MARK, hostile)
                refused(session.generic(method, path, data, JSON), (path, data))
                tried += 1
    assert tried > 60
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    "text", ["%00", "1%00", "%ff", "%ed%a0%80", "%0a", "..%2f..", "'--", "%F0%9F%98%80"]
)
def test_in_every_path(ada: Trader, text: str) -> None:
    session = Client()
    session.force_login(ada.user)
    for method, path, takes in operations():
        if path.endswith("/1"):
            body = b"{}" if takes.body else b""
            refused(session.generic(method, f"{path[:-1]}{text}", body, JSON), (method, path))


@pytest.mark.parametrize("text", ["%00", "a%00b", "%ff", "%ed%a0%80", "%0a", "%F0%9F%98%80"])
def test_in_every_parameter(ada: Trader, text: str) -> None:
    session = Client()
    session.force_login(ada.user)
    for method, path, takes in operations():
        for name in takes.once | takes.several:
            refused(session.generic(method, f"{path}?{name}={text}"), (method, path, name))
        refused(session.generic(method, f"{path}?{text}=1"), (method, path))
