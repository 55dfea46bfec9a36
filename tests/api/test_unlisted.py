"""Unlisted symbols: old orders stay reachable, nothing new comes in."""

from typing import Any

import msgspec
import pytest
from django.http import HttpResponse
from django.test import Client

from exchange.infra.redis import book_key, commands_stream, redis_client
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import Amend, CancelAll
from matching.state.codec import decode_command
from orders.models import Order, OrderList
from tests.factories.models import FeeScheduleFactory, TierFactory
from tests.factories.trading import Trader, decoded

REFUSED = (409, "symbol.not_listed")


def change(**columns: Any) -> None:
    Symbol.objects.update(**columns)
    catalogue_forget()


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status_code, decoded(response)["code"]


def last_command() -> Any:
    entries: Any = redis_client().xrange(commands_stream(1))
    return decode_command(entries[-1][1][b"c"])


@pytest.fixture
def order_id(ada: Trader) -> str:
    """An order that rests in a symbol which was unlisted afterwards."""
    placed: str = decoded(ada.place())["id"]
    Order.objects.filter(pk=placed).update(engine_seq=1, priority_seq=1, status="open")
    change(is_listed=False)
    return placed


def test_own_orders_of_an_unlisted_symbol_are_read_and_cancelled(
    ada: Trader, order_id: str
) -> None:
    items = decoded(ada.get("/orders?symbol=BTC-USDT"))["items"]
    assert [item["id"] for item in items] == [order_id]
    assert decoded(ada.get(f"/orders/{order_id}"))["fills"] == []
    assert ada.get("/prevented-matches?symbol=BTC-USDT").status_code == 200
    assert ada.cancel(order_id).status_code == 202
    answer = ada.send("DELETE", "/orders?symbol=BTC-USDT")
    assert (answer.status_code, decoded(answer)["symbols"]) == (202, ["BTC-USDT"])
    assert isinstance(last_command(), CancelAll)
    body = {"timeout_ms": 5_000, "symbol": "BTC-USDT"}
    assert ada.send("POST", "/orders/cancel-after", body).status_code == 202


def test_depth_trades_and_rules_of_an_unlisted_symbol_go_on(symbol: Symbol, order_id: str) -> None:
    frame = {"sequence": 7, "time": "2026-01-01T00:00:00.000Z", "bids": [], "asks": []}
    redis_client().set(book_key("BTC-USDT"), msgspec.json.encode(frame))
    stranger = Client()
    assert decoded(stranger.get("/api/v1/depth?symbol=BTC-USDT"))["sequence"] == 7
    assert stranger.get("/api/v1/trades?symbol=BTC-USDT").status_code == 200
    [one] = decoded(stranger.get("/api/v1/symbols?symbol=BTC-USDT"))["items"]
    assert (one["symbol"], one["is_listed"]) == ("BTC-USDT", False)
    assert decoded(stranger.get("/api/v1/symbols"))["items"] == []
    unknown = stranger.get("/api/v1/symbols?symbol=NO-SUCH")
    assert (unknown.status_code, decoded(unknown)["code"]) == (404, "symbol.unknown")


def test_nothing_new_comes_into_an_unlisted_symbol(ada: Trader, order_id: str) -> None:
    before = Order.objects.count()
    assert refusal(ada.place()) == REFUSED
    legs = [
        {"side": "sell", "type": "limit", "price": "120", "quantity": "1"},
        {"side": "sell", "type": "stop_market", "stop_price": "90", "quantity": "1"},
    ]
    named = [{"client_order_id": f"leg-{at}", **one} for at, one in enumerate(legs)]
    body = {"type": "oco", "symbol": "BTC-USDT", "orders": named}
    assert refusal(ada.send("POST", "/order-lists", body)) == REFUSED
    for terms in ({"price": "99"}, {"quantity": "1.5"}, {"price": "99", "quantity": "0.5"}):
        assert refusal(ada.amend(order_id, **terms)) == REFUSED
    assert (Order.objects.count(), OrderList.objects.count()) == (before, 0)


def test_an_order_of_an_unlisted_symbol_may_become_smaller(ada: Trader, order_id: str) -> None:
    assert ada.amend(order_id, quantity="0.5", price="100").status_code == 202
    assert isinstance(last_command(), Amend)


def test_what_was_accepted_before_is_answered_again(ada: Trader) -> None:
    body = {
        "symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "100", "quantity": "1",
        "client_order_id": "mine",
    }  # fmt: skip
    first = decoded(ada.send("POST", "/orders", body))
    change(is_listed=False)
    again = ada.send("POST", "/orders", body)
    assert (again.status_code, decoded(again)["id"]) == (200, first["id"])


def test_the_history_of_a_closed_symbol_stays_readable(ada: Trader, order_id: str) -> None:
    change(state="closed")
    assert decoded(ada.get(f"/orders/{order_id}"))["symbol"] == "BTC-USDT"
    assert len(decoded(ada.get("/orders?symbol=BTC-USDT&status=live"))["items"]) == 1
    assert Client().get("/api/v1/trades?symbol=BTC-USDT").status_code == 200


def test_a_symbol_tells_the_fees_of_the_default_tier(symbol: Symbol) -> None:
    tier = TierFactory.create(name="standard", is_default=True)
    FeeScheduleFactory.create(tier=None, symbol=None, maker_ppm=500, taker_ppm=1_000)
    FeeScheduleFactory.create(tier=tier, symbol=None, maker_ppm=100, taker_ppm=200)
    catalogue_forget()
    [one] = decoded(Client().get("/api/v1/symbols"))["items"]
    assert (one["maker_fee_ppm"], one["taker_fee_ppm"]) == (100, 200)
