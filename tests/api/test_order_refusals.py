"""Every refusal of an order has its own code, names its field, and leaves everything as it was."""

from decimal import Decimal
from typing import Any

import pytest

from exchange.infra.redis import redis_client, top_key
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from orders.models import ClientOrderId, Order
from tests.factories.models import TierFactory
from tests.factories.trading import Trader, decoded, encode, order_body, trader_make
from wallets.models import Balance, Reservation

LIMIT: dict[str, Any] = {}
MARKET: dict[str, Any] = {"type": "market", "price": None}


def state_of_everything() -> list[Any]:
    return [
        list(Order.objects.values_list("id")),
        list(ClientOrderId.objects.values_list("client_order_id")),
        list(Reservation.objects.values_list("order_id", "amount")),
        list(Balance.objects.order_by("id").values_list("id", "available", "reserved", "version")),
    ]


@pytest.mark.parametrize(
    ("status", "code", "field", "changes"),
    [
        (404, "symbol.unknown", "symbol", {"symbol": "BTC-EUR"}),
        (404, "symbol.unknown", "symbol", {"symbol": "btc-usdt"}),
        (422, "order.client_id_invalid", "client_order_id", {"client_order_id": ""}),
        (422, "order.client_id_invalid", "client_order_id", {"client_order_id": "a b"}),
        (422, "order.client_id_invalid", "client_order_id", {"client_order_id": "x" * 65}),
        (422, "order.client_id_invalid", "client_order_id", {"client_order_id": "\u0661"}),
        (422, "order.client_id_invalid", "client_order_id", {"client_order_id": "a\n"}),
        (422, "order.price_required", "price", {"price": None}),
        (422, "order.quantity_required", "quantity", {"quantity": None}),
        (422, "order.price_forbidden", "price", {"type": "market"}),
        (422, "order.price_off_tick", "price", {"price": "100.001"}),
        (422, "order.price_below_min", "price", {"price": "0"}),
        (422, "order.price_above_max", "price", {"price": "1000000.01"}),
        (422, "order.quantity_off_lot", "quantity", {"quantity": "0.00015"}),
        (422, "order.quantity_below_min", "quantity", {"quantity": "0"}),
        (422, "order.quantity_above_max", "quantity", {"quantity": "1000.0001"}),
        (422, "order.notional_below_min", "quantity", {"quantity": "0.0001"}),
        (422, "order.quantity_or_quote_amount", "quote_amount", {"quote_amount": "5"}),
        (422, "order.quantity_or_quote_amount", "quantity", {**MARKET, "quote_amount": "5"}),
        (422, "order.quantity_or_quote_amount", "quantity", {**MARKET, "quantity": None}),
        (
            422,
            "order.quote_amount_buy_only",
            "quote_amount",
            {**MARKET, "side": "sell", "quantity": None, "quote_amount": "5"},
        ),
        (
            422,
            "order.quote_amount_invalid",
            "quote_amount",
            {**MARKET, "quantity": None, "quote_amount": "5.0000001"},
        ),
        (
            422,
            "order.notional_below_min",
            "quote_amount",
            {**MARKET, "quantity": None, "quote_amount": "0.5"},
        ),
        (422, "order.time_in_force_invalid", "time_in_force", {**MARKET, "time_in_force": "gtc"}),
        (422, "order.time_in_force_invalid", "time_in_force", {**MARKET, "time_in_force": "fok"}),
        (422, "order.post_only_invalid", "post_only", {"post_only": True, "time_in_force": "ioc"}),
        (422, "order.post_only_invalid", "post_only", {**MARKET, "post_only": True}),
        (422, "order.no_liquidity", "side", MARKET),
        (422, "funds.insufficient", None, {"price": "100000", "quantity": "1"}),
        (422, "funds.insufficient", None, {"side": "sell", "quantity": "100.0001"}),
        (400, "request.field_invalid", "side", {"side": "up"}),
        (400, "request.field_invalid", "type", {"type": "stop"}),
        (400, "request.field_invalid", "time_in_force", {"time_in_force": "day"}),
        (400, "request.field_invalid", "post_only", {"post_only": "yes"}),
        (400, "request.field_missing", "side", {"side": None}),
        (400, "request.field_missing", "client_order_id", {"client_order_id": None}),
        (400, "request.field_unknown", "colour", {"colour": "red"}),
        (400, "request.number_not_string", "price", {"price": 100}),
        (400, "request.number_not_string", "quantity", {"quantity": 0.1}),
    ],
)
def test_refusal_names_code_and_field_and_changes_nothing(
    ada: Trader, status: int, code: str, field: str | None, changes: dict[str, Any]
) -> None:
    before = state_of_everything()
    response = ada.place(**changes)
    body = decoded(response)
    assert (response.status_code, body["code"]) == (status, code)
    assert response["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in body["errors"]] == ([field] if field else [])
    assert body["instance"] == response["X-Request-Id"]
    assert "(" not in body["detail"].replace("(s)", ""), "every value of the text is filled in"
    assert state_of_everything() == before


@pytest.mark.parametrize(
    "text",
    [
        "1e5", "1E5", "NaN", "Infinity", "-1", "+1", " 1", "1 ", "1,5", "0x10", "1_000", ".5", "1.",
        "", "١٢", "9" * 21, "1." + "0" * 19, "00.5", "1\n", "1\u0000", "9" * 3_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["price", "quantity"])
def test_only_plain_decimals_are_numbers(ada: Trader, field: str, text: str) -> None:
    before = state_of_everything()
    response = ada.place(**{field: text})
    assert response.status_code == 400
    assert decoded(response)["code"] == "request.field_invalid"
    assert state_of_everything() == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.malformed"),
        (b"[]", 400, "request.malformed"),
        (b"null", 400, "request.malformed"),
        (b'"order"', 400, "request.malformed"),
        (b"\xff\xfe", 400, "request.malformed"),
        (b'{"symbol": "\xff"}', 400, "request.malformed"),
        (b'{"symbol": NaN}', 400, "request.malformed"),
        (b"[" * 4_000, 400, "request.malformed"),
        (b'{"symbol":' + b"[" * 4_000, 400, "request.field_invalid"),
        (b'{"x":' + b"[" * 4_000, 400, "request.field_unknown"),
        (b'{"symbol": "' + b"A" * 9_000 + b'"}', 413, "request.too_large"),
    ],
)
def test_bodies_that_are_not_orders(ada: Trader, body: bytes, status: int, code: str) -> None:
    response = ada.send("POST", "/orders", body)
    assert (response.status_code, decoded(response)["code"]) == (status, code)


def test_body_of_another_media_type_is_refused(ada: Trader) -> None:
    response = ada.send("POST", "/orders", encode(order_body()), content_type="text/plain")
    assert (response.status_code, decoded(response)["code"]) == (415, "request.unsupported_media")


def test_halted_symbol_refuses_orders(ada: Trader, symbol: Symbol) -> None:
    Symbol.objects.update(state="halt")
    catalogue_forget()
    response = ada.place()
    assert (response.status_code, decoded(response)["code"]) == (409, "symbol.halted")
    assert not Order.objects.exists()


def top_set(bid: int, ask: int, last: int) -> None:
    import msgspec

    from risk.pretrade.selectors import tops_forget

    redis_client().set(top_key("BTC-USDT"), msgspec.msgpack.encode([bid, ask, last, 1]))
    tops_forget()


def test_price_band_follows_the_last_price_where_the_engine_has_no_reference(
    ada: Trader, symbol: Symbol
) -> None:
    Symbol.objects.update(band_ppm=100_000)
    catalogue_forget()
    top_set(0, 0, 10_000)
    assert ada.place(price="110").status_code == 201
    assert ada.place(side="sell", price="90").status_code == 201
    # Rule 22.1: what pays less, or takes more, than the band is free.
    assert ada.place(price="89.99").status_code == 201
    assert ada.place(side="sell", price="110.01").status_code == 201
    for side, price in (("buy", "110.01"), ("sell", "89.99")):
        response = ada.place(side=side, price=price)
        assert (response.status_code, decoded(response)["code"]) == (
            422,
            "order.price_outside_band",
        )
        assert decoded(response)["params"] == {"minimum": "90", "maximum": "110"}
    assert Order.objects.count() == 4


def test_market_buy_reserves_at_the_protective_price(ada: Trader) -> None:
    top_set(9_000, 10_000, 9_500)
    response = ada.place(**MARKET, quantity="1")
    assert response.status_code == 201, response.content
    # Best ask 100, slippage 5 %, taker fee 0.1 %: 105 + 0.105.
    assert ada.balance("USDT")[1] == Decimal("105.105")
    order = Order.objects.get()
    assert (order.price, order.bound_price) == (None, 105)
    assert decoded(response)["price"] is None


def test_market_buy_by_quote_amount_reserves_amount_and_fee(ada: Trader) -> None:
    top_set(9_000, 10_000, 9_500)
    response = ada.place(**MARKET, quantity=None, quote_amount="500")
    assert response.status_code == 201, response.content
    assert ada.balance("USDT")[1] == Decimal("500.5")
    assert decoded(response)["quote_amount"] == "500"
    assert decoded(response)["left"] is None


def test_open_order_cap_counts_live_orders_of_user_and_symbol(
    ada: Trader, boris: Trader, symbol: Symbol
) -> None:
    Symbol.objects.update(open_orders_max=2)
    catalogue_forget()
    assert [ada.place().status_code for _ in range(2)] == [201, 201]
    response = ada.place()
    assert (response.status_code, decoded(response)["code"]) == (422, "risk.open_orders_max")
    assert boris.place().status_code == 201
    assert Order.objects.filter(account_id=ada.account_id).count() == 2


def test_order_rate_of_the_tier_is_held(symbol: Symbol) -> None:
    tier = TierFactory.create(name="slow", orders_per_second=1)
    slow = trader_make("slow", tier=tier)
    taken = 0
    while (response := slow.place()).status_code == 201:  # a slow machine takes a few more
        taken += 1
    assert taken >= 1
    assert (response.status_code, decoded(response)["code"]) == (429, "risk.order_rate")
    assert response["Retry-After"] == "1"
    assert Order.objects.count() == taken


def test_only_an_exempt_tier_may_switch_self_trade_prevention_off(
    ada: Trader, symbol: Symbol
) -> None:
    common = trader_make("common")
    response = common.place(self_trade_prevention="none")
    assert (response.status_code, decoded(response)["code"]) == (
        422,
        "order.self_trade_prevention_not_allowed",
    )
    assert ada.place(self_trade_prevention="none").status_code == 201
    assert Order.objects.get().self_trade == "none"
