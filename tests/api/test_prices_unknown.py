"""Prices while Redis is away: orders that need them are refused, others taken; depth has none."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.infra import redis as redis_module
from exchange.infra.redis import KeyReader
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from orders.api import market
from orders.models import Order
from risk.pretrade import selectors
from tests.factories.trading import Trader, decoded, redis_away
from tests.waiting import HANG_S


@pytest.fixture
def no_prices(symbol: Symbol, monkeypatch: pytest.MonkeyPatch) -> None:
    Symbol.objects.update(band_ppm=1)
    catalogue_forget()
    selectors.tops_forget()
    monkeypatch.setattr(selectors, "reader", KeyReader(redis_away))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "market", "price": None},
        {"type": "trailing_stop", "price": None, "trail_bps": 5},
    ],
)
def test_an_order_that_would_be_unbounded_is_refused(
    ada: Trader, no_prices: None, changes: dict[str, Any]
) -> None:
    response = ada.place(**changes)
    assert (response.status_code, decoded(response)["code"]) == (503, "engine.unavailable")
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},  # within the static limits, and bound by the engine's own band
        {"type": "market", "price": None, "bound_price": "101"},
        {"type": "stop_market", "price": None, "stop_price": "110"},
        {"type": "trailing_stop", "price": None, "trail_bps": 5, "bound_price": "101"},
        {"type": "trailing_stop", "price": None, "trail_bps": 5, "activation_price": "90"},
    ],
)
def test_an_order_that_is_bounded_without_prices_is_taken(
    ada: Trader, no_prices: None, changes: dict[str, Any]
) -> None:
    assert ada.place(**changes).status_code == 201


def test_a_new_price_is_taken_without_the_band(ada: Trader, no_prices: None) -> None:
    order_id = decoded(ada.place())["id"]
    assert ada.amend(order_id, price="500").status_code == 202


class Asked(redis.Redis):
    """A client of a server that is not there, which counts what it is asked."""

    times = 0

    def get(self, name: Any) -> Any:
        Asked.times += 1
        return super().get(name)


@pytest.fixture
def no_depth(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redis_module, "PROBE_EVERY_S", HANG_S)
    asked = KeyReader(lambda: Asked(port=1, retry=Retry(NoBackoff(), 0)))
    monkeypatch.setattr(market, "reader", asked)
    monkeypatch.setattr(Asked, "times", 0)
    yield
    selectors.tops_forget()  # ends the pause


@pytest.mark.usefixtures("symbol", "no_depth")
def test_depth_waits_once_for_a_redis_that_does_not_answer(ada: Trader) -> None:
    for _ in range(3):
        answer = ada.client.generic("GET", "/api/v1/depth?symbol=BTC-USDT")
        assert (answer.status_code, decoded(answer)["code"]) == (503, "engine.unavailable")
    assert Asked.times == 1
