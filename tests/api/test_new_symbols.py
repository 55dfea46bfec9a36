"""A symbol that is newer than this process's copy of the catalogue."""

import itertools
from collections.abc import Callable
from math import inf

import pytest

from exchange import selectors
from exchange.infra import lookups
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.copies import Copy
from exchange.selectors import Catalogue, catalogue, catalogue_read
from orders.models import Command
from tests.factories.models import SymbolFactory
from tests.factories.trading import Trader, decoded, order_body

NEW = "ETH-USDT"
Forget = Callable[[], None]


@pytest.fixture
def symbol_forget(ada: Trader, monkeypatch: pytest.MonkeyPatch) -> Forget:
    """Make this process's copy as old as from before NEW."""
    older = catalogue_read()
    SymbolFactory.create(code=NEW)

    def forget() -> None:
        readings: list[Catalogue] = [older]
        copy = Copy(lambda: readings.pop() if readings else catalogue_read(), age_max_s=60)
        copy.get()
        monkeypatch.setattr(selectors, "catalogue_copy", copy)

    return forget


def test_its_orders_can_be_seen_and_amended_and_cancelled(
    ada: Trader, symbol_forget: Forget
) -> None:
    order_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    assert ada.cancel(order_id).status_code == 202
    symbol_forget()
    assert ada.send("DELETE", "/orders").status_code == 202
    symbol_forget()
    assert ada.send("POST", "/orders/cancel-after", {"timeout_ms": 5_000}).status_code == 202
    other_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    assert ada.amend(other_id, price="99").status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/orders", order_body(symbol=NEW)),
        ("POST", "/orders/test", order_body(symbol=NEW)),
        ("POST", "/orders/cancel-after", {"timeout_ms": 5_000, "symbol": NEW}),
        ("DELETE", f"/orders?symbol={NEW}", None),
        ("GET", f"/orders?symbol={NEW}", None),
        ("GET", f"/trades?symbol={NEW}", None),
        ("GET", f"/symbols?symbol={NEW}", None),
    ],
)
def test_it_is_known_at_once(
    ada: Trader, symbol_forget: Forget, method: str, path: str, body: object
) -> None:
    symbol_forget()
    response = ada.send(method, path, body)
    assert response.status_code < 300, response.content


def test_who_asks_for_what_nobody_has_causes_a_bounded_number_of_readings(
    ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "CATALOGUE_RENEWAL_RATE", Rate(per_second=1, burst=3))
    readings: list[Catalogue] = []

    def read() -> Catalogue:
        readings.append(catalogue_read())
        return readings[-1]

    clock_s = itertools.count()
    monkeypatch.setattr(selectors, "catalogue_renewals", LocalBuckets(lambda: 0))
    monkeypatch.setattr(
        selectors, "catalogue_copy", Copy(read, age_max_s=inf, now_s=lambda: next(clock_s))
    )
    catalogue()
    for _ in range(10):
        assert decoded(ada.place(symbol="NO-PE"))["code"] == "symbol.unknown"
        assert ada.send("GET", "/trades?symbol=NO-PE").status_code == 404
    assert len(readings) == 1 + 3


def test_a_cancel_that_stands_is_not_said_to_be_refused(
    ada: Trader, symbol_forget: Forget, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    monkeypatch.setattr(lookups.lookups(), "waiting_max", 0)
    response = ada.cancel(order_id)
    assert Command.objects.filter(kind="cancel").count() == 1
    if way == "loop":  # where the symbol would have to be read, and there is no room
        assert decoded(response)["code"] == "engine.outcome_unknown"
    else:
        assert response.status_code == 202
