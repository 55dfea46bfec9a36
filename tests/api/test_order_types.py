"""Every order type over HTTP, placed and amended: answer, row, reservation, command."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import connection

from exchange.access.principals import principals_forget
from exchange.infra.redis import commands_stream, redis_client, top_key
from exchange.models import AccountGroup, ApiKey, Symbol, User
from exchange.selectors import catalogue, catalogue_forget
from matching.engine.core import Engine
from matching.engine.messages import (
    GTC,
    IOC,
    STP_DECREMENT,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    Amend,
    CancelAll,
    Command,
    OrderAccepted,
    Place,
    Terms,
)
from matching.state.codec import decode_command
from orders.commands.from_rows import ORDER_COLUMNS, command_from_order_row
from orders.models import Command as CommandRow
from orders.models import Order
from risk.pretrade.selectors import tops_forget
from tests.api.test_order_refusals import state_of_everything
from tests.factories.trading import NOTHING_YET, Trader, decoded, trader_make
from wallets.models import Reservation

MARKET: dict[str, Any] = {"type": "market", "price": None}
STOP: dict[str, Any] = {"type": "stop_market", "price": None, "stop_price": "110"}
TRAIL: dict[str, Any] = {"type": "trailing_stop", "price": None}
FUTURE_MS = 1_893_456_000_000
FUTURE = "2030-01-01T00:00:00.000Z"


def top_set(bid: int, ask: int, last: int, *reference: int) -> None:
    redis_client().set(top_key("BTC-USDT"), msgspec.msgpack.encode([bid, ask, last, 1, *reference]))
    tops_forget()


def symbol_change(**changes: Any) -> None:
    Symbol.objects.update(**changes)
    catalogue_forget()


def last_command() -> Command:
    entries: Any = redis_client().xrange(commands_stream(1))
    return decode_command(entries[-1][1][b"c"])


def placed(trader: Trader, **changes: Any) -> dict[str, Any]:
    response = trader.place(**changes)
    assert response.status_code == 201, response.content
    return decoded(response)


# A buy of 1: (changes, what is shown, the engine's price, its time in force, its terms, reserved)
PLACED: list[tuple[dict[str, Any], dict[str, Any], int, int, Terms | None, str]] = [
    ({}, {"price": "100", "bound_price": None}, 10_000, GTC, None, "100.1"),
    (
        {"display_quantity": "0.5"},
        {"display_quantity": "0.5"},
        10_000,
        GTC,
        Terms(display_lots=5_000),
        "100.1",
    ),
    (
        {"time_in_force": "gtd", "expires_at": "2030-01-01T01:00:00.0009+01:00"},
        {"time_in_force": "gtd", "expires_at": FUTURE},
        10_000,
        GTC,
        Terms(expire_ms=FUTURE_MS),
        "100.1",
    ),
    (
        {"post_only": True, "reprice": True},
        {"post_only": True, "reprice": True},
        10_000,
        GTC,
        Terms(reprice=True, reprice_limit_ticks=1),
        "100.1",
    ),
    (
        MARKET,
        {"price": None, "bound_price": "105", "reference_price": "100", "slippage": None},
        10_500,
        IOC,
        None,
        "105.105",
    ),
    (
        {**MARKET, "bound_price": "101"},
        {"bound_price": "101", "reference_price": "100"},
        10_100,
        IOC,
        None,
        "101.101",
    ),
    (
        STOP,
        {"price": None, "stop_price": "110", "trigger_source": "last", "bound_price": "115.5"},
        11_550,
        IOC,
        Terms(trigger=TRIGGER_STOP, stop_ticks=11_000),
        "115.6155",
    ),
    (
        {"type": "take_profit", "price": None, "stop_price": "90", "trigger_source": "best"},
        {"time_in_force": "gtc", "trigger_source": "best", "bound_price": "94.5"},
        9_450,
        IOC,
        Terms(trigger=TRIGGER_TAKE, stop_ticks=9_000, source=1),
        "94.5945",
    ),
    (
        {"type": "stop_limit", "stop_price": "110", "price": "111", "display_quantity": "0.1"},
        {"price": "111", "stop_price": "110", "bound_price": None, "display_quantity": "0.1"},
        11_100,
        GTC,
        Terms(trigger=TRIGGER_STOP, stop_ticks=11_000, display_lots=1_000),
        "111.111",
    ),
    (
        {
            "type": "take_profit_limit",
            "stop_price": "90",
            "price": "91",
            "time_in_force": "ioc",
        },
        {"price": "91", "time_in_force": "ioc"},
        9_100,
        IOC,
        Terms(trigger=TRIGGER_TAKE, stop_ticks=9_000),
        "91.091",
    ),
    (
        {**TRAIL, "trail_amount": "5"},
        {"trail_amount": "5", "trail_bps": None, "bound_price": "109.2"},  # last 99, 104 + 5 %
        10_920,
        IOC,
        Terms(trigger=TRIGGER_TRAILING, trail_ticks=500, bound_ppm=50_000),
        "109.3092",
    ),
    (
        {**TRAIL, "trail_bps": 100, "activation_price": "80"},
        {"trail_amount": None, "trail_bps": 100, "activation_price": "80", "bound_price": "84.84"},
        8_484,
        IOC,
        Terms(
            trigger=TRIGGER_TRAILING,
            trail_ppm=10_000,
            activation_ticks=8_000,
            bound_ppm=50_000,
        ),
        "84.92484",
    ),
]


@pytest.mark.parametrize(
    ("changes", "shows", "price_ticks", "time_in_force", "terms", "reserved"), PLACED
)
def test_each_type_is_answered_kept_reserved_and_sent(
    ada: Trader,
    changes: dict[str, Any],
    shows: dict[str, Any],
    price_ticks: int,
    time_in_force: int,
    terms: Terms | None,
    reserved: str,
) -> None:
    top_set(9_900, 10_000, 9_900)
    body = placed(ada, **changes)
    assert {name: body[name] for name in shows} == shows
    assert body["status"] == "new"
    read = decoded(ada.get(f"/orders/{body['id']}"))
    assert read == {**body, **NOTHING_YET}
    command = last_command()
    assert isinstance(command, Place)
    assert (command.price_ticks, command.time_in_force) == (price_ticks, time_in_force)
    assert (command.market, command.terms) == (body["price"] is None, terms)
    assert Reservation.objects.get(pk=body["id"]).amount == Decimal(reserved)
    assert ada.balance("USDT")[1] == Decimal(reserved)


def order_row_read(order_id: int) -> dict[str, Any]:
    """The order as the worker reads it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ORDER_COLUMNS} FROM orders_order WHERE id = %s", (order_id,))
        row = dict(zip([one.name for one in cursor.description], cursor.fetchone(), strict=True))
    terms = row["terms"]
    return {**row, "terms": json.loads(terms) if isinstance(terms, str) else terms}


@pytest.mark.parametrize("changes", [changes for changes, *_ in PLACED])
def test_the_row_gives_the_very_command_that_was_sent_and_the_engine_takes_it(
    ada: Trader, changes: dict[str, Any]
) -> None:
    top_set(9_900, 10_000, 9_900)
    body = placed(ada, **changes)
    sent = last_command()
    units = catalogue().symbols["BTC-USDT"].units
    row = order_row_read(int(body["id"]))
    assert command_from_order_row(row, units) == sent
    [answer, *_] = Engine().apply(sent)
    assert isinstance(answer, OrderAccepted)


@pytest.mark.parametrize("changes", [changes for changes, *_ in PLACED])
def test_the_same_request_again_is_the_same_order(ada: Trader, changes: dict[str, Any]) -> None:
    top_set(9_900, 10_000, 9_900)
    first = placed(ada, client_order_id="a", **changes)
    again = ada.place(client_order_id="a", **changes)
    assert (again.status_code, decoded(again)) == (200, first)
    assert Order.objects.count() == 1


def test_a_sell_with_a_trigger_reserves_its_quantity(ada: Trader) -> None:
    body = placed(ada, side="sell", **{**STOP, "stop_price": "90"})
    assert body["bound_price"] == "85.5"
    assert ada.balance("BTC")[1] == 1


@pytest.mark.parametrize(
    ("status", "code", "field", "changes"),
    [
        (400, "request.number_not_string", "stop_price", {**STOP, "stop_price": 110}),
        (400, "request.number_not_string", "trail_amount", {**TRAIL, "trail_amount": 5.5}),
        (400, "request.number_not_string", "activation_price", {"activation_price": 1}),
        (400, "request.number_not_string", "display_quantity", {"display_quantity": 1}),
        (400, "request.number_not_string", "bound_price", {**MARKET, "bound_price": 1}),
        (400, "request.field_invalid", "trail_bps", {**TRAIL, "trail_bps": "5"}),
        (400, "request.field_invalid", "trail_bps", {**TRAIL, "trail_bps": True}),
        (400, "request.field_invalid", "trail_bps", {**TRAIL, "trail_bps": 5.0}),
        (400, "request.field_invalid", "expires_at", {"expires_at": FUTURE_MS}),
        (400, "request.field_invalid", "reprice", {"reprice": "true"}),
        (400, "request.field_invalid", "trigger_source", {**STOP, "trigger_source": "mark"}),
        (422, "order.trail_invalid", "trail_bps", {**TRAIL, "trail_bps": 10_000}),
        (422, "order.trail_required", "trail_amount", TRAIL),
        (422, "order.trail_forbidden", "trail_bps", {"trail_bps": 5}),
        (422, "order.stop_price_required", "stop_price", {**STOP, "stop_price": None}),
        (422, "order.stop_price_forbidden", "stop_price", {"stop_price": "110"}),
        (422, "order.trigger_source_forbidden", "trigger_source", {"trigger_source": "last"}),
        (422, "order.display_quantity_invalid", "display_quantity", {"display_quantity": "1"}),
        (422, "order.expires_at_required", "expires_at", {"time_in_force": "gtd"}),
        (422, "order.expires_at_invalid", "expires_at", {"expires_at": FUTURE}),
        (
            422,
            "order.expires_at_invalid",
            "expires_at",
            {"time_in_force": "gtd", "expires_at": "2020-01-01T00:00:00Z"},
        ),
        (422, "order.reprice_invalid", "reprice", {"reprice": True}),
        (422, "order.bound_price_forbidden", "bound_price", {"bound_price": "100"}),
        (422, "order.bound_price_invalid", "bound_price", {**STOP, "bound_price": "109.99"}),
        (422, "order.price_forbidden", "price", {**STOP, "price": "100"}),
        (422, "order.time_in_force_invalid", "time_in_force", {**STOP, "time_in_force": "ioc"}),
        (
            422,
            "order.quantity_or_quote_amount",
            "quote_amount",
            {**STOP, "quantity": None, "quote_amount": "100"},
        ),
        (422, "order.no_liquidity", "activation_price", {**TRAIL, "trail_amount": "5"}),
        (422, "order.notional_below_min", "quantity", {**STOP, "quantity": "0.0001"}),
        (
            422,
            "order.notional_below_min",
            "quantity",
            {**STOP, "side": "sell", "stop_price": "0.02", "quantity": "1"},
        ),
        (422, "funds.insufficient", None, {**STOP, "quantity": "900"}),
        (422, "funds.insufficient", None, {**STOP, "side": "sell", "quantity": "101"}),
    ],
)
def test_refusal_names_code_and_field_and_changes_nothing(
    ada: Trader, status: int, code: str, field: str | None, changes: dict[str, Any]
) -> None:
    before = state_of_everything()
    body = decoded(response := ada.place(**changes))
    assert (response.status_code, body["code"]) == (status, code), body
    assert [error["field"] for error in body["errors"]] == ([field] if field else [])
    assert "(" not in body["detail"], "every value of the text is filled in"
    assert state_of_everything() == before


def test_a_named_bound_needs_no_prices(ada: Trader) -> None:
    body = placed(ada, **MARKET, bound_price="101")
    assert (body["bound_price"], body["reference_price"]) == ("101", None)
    assert placed(ada, **TRAIL, trail_amount="5", bound_price="90")["bound_price"] == "90"


def test_a_sell_is_worth_the_minimum_where_it_starts_not_at_its_bound(ada: Trader) -> None:
    top_set(9_900, 10_000, 9_900)
    placed(ada, **MARKET, side="sell", quantity="0.02", bound_price="0.01")


def test_the_band_stands_around_the_engines_reference(ada: Trader) -> None:
    symbol_change(band_ppm=100_000)
    top_set(0, 0, 50_000, 10_000)
    placed(ada, price="110")
    refused = decoded(ada.place(price="110.01"))
    assert (refused["code"], refused["params"]) == (
        "order.price_outside_band",
        {"minimum": "90", "maximum": "110"},
    )
    # What does not meet the book now is bound when it comes in.
    placed(ada, type="stop_limit", stop_price="120", price="130")
    symbol_change(state="pre_open")
    placed(ada, price="110.01")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("halt", "symbol.halted"),
        ("pre_open", "symbol.pre_open"),
        ("auction", "symbol.in_auction"),
        ("post_only", "symbol.post_only"),
        ("cancel_only", "symbol.cancel_only"),
        ("closed", "symbol.closed"),
    ],
)
def test_a_state_that_takes_no_immediate_order_says_so_by_name(
    ada: Trader, state: str, code: str
) -> None:
    symbol_change(state=state)
    before = state_of_everything()
    body = decoded(response := ada.place(time_in_force="ioc"))
    assert (response.status_code, body["code"]) == (409, code)
    assert body["errors"][0]["field"] == "symbol"
    assert state_of_everything() == before


def test_orders_gather_before_the_opening(ada: Trader) -> None:
    symbol_change(state="pre_open")
    placed(ada)
    placed(ada, **STOP)
    symbol_change(state="auction")
    top_set(9_900, 10_000, 9_900)
    placed(ada, **MARKET)


# --- who asks


def test_an_order_carries_its_key_and_its_users_group(ada: Trader) -> None:
    group = AccountGroup.objects.create(name="desk")
    User.objects.filter(pk=ada.user.pk).update(group=group)
    principals_forget()
    body = placed(ada)
    key_number = ApiKey.objects.get(key_id=ada.key).pk
    command = last_command()
    assert isinstance(command, Place)
    assert (command.group_id, command.owner_tag) == (group.pk, key_number)
    order = Order.objects.get(pk=body["id"])
    assert (order.group_id, order.owner_tag) == (group.pk, key_number)


def test_a_users_own_self_trade_mode_holds_where_an_order_names_none(ada: Trader) -> None:
    User.objects.filter(pk=ada.user.pk).update(self_trade_prevention="decrement")
    principals_forget()
    assert placed(ada)["self_trade_prevention"] == "decrement"
    command = last_command()
    assert isinstance(command, Place)
    assert command.self_trade == STP_DECREMENT
    named = placed(ada, self_trade_prevention="cancel_both")
    assert named["self_trade_prevention"] == "cancel_both"


def test_a_setting_alone_does_not_switch_self_trade_prevention_off(symbol: Symbol) -> None:
    common = trader_make("common")
    User.objects.filter(pk=common.user.pk).update(self_trade_prevention="none")
    assert placed(common)["self_trade_prevention"] == "cancel_incoming"
    assert common.place(self_trade_prevention="none").status_code == 422


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/orders"), ("PATCH", "/orders/1"), ("DELETE", "/orders?key=own")]
)
def test_a_key_that_may_only_read_changes_nothing(symbol: Symbol, method: str, path: str) -> None:
    reader = trader_make("reader", can_trade=False)
    response = reader.send(method, path, *([] if method == "DELETE" else [{}]))
    assert (response.status_code, decoded(response)["code"]) == (403, "auth.scope_missing")


# --- cancel-all


def test_cancel_all_of_the_own_key_names_it_to_the_engine(ada: Trader) -> None:
    placed(ada)
    assert ada.send("DELETE", "/orders?key=own").status_code == 202
    command = last_command()
    assert isinstance(command, CancelAll)
    assert command.owner_tag == ApiKey.objects.get(key_id=ada.key).pk
    assert ada.send("DELETE", "/orders").status_code == 202
    command = last_command()
    assert isinstance(command, CancelAll)
    assert command.owner_tag == 0


def test_cancel_all_of_another_word_for_a_key_is_refused(ada: Trader) -> None:
    placed(ada)
    body = decoded(response := ada.send("DELETE", "/orders?key=all"))
    assert (response.status_code, body["errors"][0]["field"]) == (400, "key")
    assert not CommandRow.objects.exists()


def test_a_session_has_no_own_key(ada: Trader) -> None:
    placed(ada)
    ada.client.force_login(ada.user)
    response = ada.client.delete("/api/v1/orders?key=own", headers={"X-CSRFToken": "x"})
    assert (response.status_code, decoded(response)["errors"][0]["field"]) == (400, "key")
    assert not CommandRow.objects.exists()


def test_shortly_before_an_auctions_end_nothing_is_cancelled_or_amended(ada: Trader) -> None:
    order_id = placed(ada)["id"]
    symbol_change(state="auction_cutoff")
    for response in (
        ada.cancel(order_id),
        ada.amend(order_id, price="99"),
        ada.send("DELETE", "/orders?symbol=BTC-USDT"),
    ):
        assert (response.status_code, decoded(response)["code"]) == (409, "symbol.in_auction")
    assert decoded(ada.send("DELETE", "/orders"))["symbols"] == []
    assert not CommandRow.objects.exists()


# --- amend


@pytest.mark.parametrize(
    ("terms", "sent"),
    [
        ({"stop_price": "112"}, {"stop_ticks": 11_200, "price_ticks": 11_760}),
        ({"quantity": "0.5"}, {"quantity_lots": 5_000}),
    ],
)
def test_a_stops_usual_bound_moves_with_its_stop_price(
    ada: Trader, terms: dict[str, str], sent: dict[str, int]
) -> None:
    order_id = placed(ada, **STOP)["id"]
    response = ada.amend(order_id, **terms)
    assert response.status_code == 202, response.content
    command = last_command()
    assert isinstance(command, Amend)
    expected = {"price_ticks": 0, "quantity_lots": 0, "stop_ticks": 0, "display_lots": 0, **sent}
    assert {name: getattr(command, name) for name in expected} == expected


def test_a_higher_stop_price_of_a_buy_reserves_more_before_the_engine_sees_it(ada: Trader) -> None:
    order_id = placed(ada, **STOP)["id"]
    ada.amend(order_id, stop_price="120")
    # The bound moves from 115.5 to 126; fee 0.1 % on top.
    assert ada.balance("USDT")[1] == Decimal("126.126")


def test_a_named_bound_stays_and_bounds_the_stop_price(ada: Trader) -> None:
    order_id = placed(ada, **STOP, bound_price="111")["id"]
    body = decoded(response := ada.amend(order_id, stop_price="112"))
    assert (response.status_code, body["code"]) == (422, "order.bound_price_invalid")
    assert ada.amend(order_id, stop_price="111").status_code == 202
    command = last_command()
    assert isinstance(command, Amend)
    assert (command.stop_ticks, command.price_ticks) == (11_100, 0)


def test_an_iceberg_shows_another_part(ada: Trader) -> None:
    order_id = placed(ada, display_quantity="0.5")["id"]
    assert ada.amend(order_id, display_quantity="0.25").status_code == 202
    command = last_command()
    assert isinstance(command, Amend)
    assert command.display_lots == 2_500


@pytest.mark.parametrize(
    ("order", "status", "code", "field", "terms"),
    [
        ({}, 422, "order.amend_no_trigger", "stop_price", {"stop_price": "90"}),
        (
            {**TRAIL, "trail_amount": "5", "activation_price": "80"},
            422,
            "order.amend_no_trigger",
            "stop_price",
            {"stop_price": "90"},
        ),
        (STOP, 422, "order.amend_no_display", "display_quantity", {"display_quantity": "0.5"}),
        (STOP, 422, "order.price_forbidden", "price", {"price": "90"}),
        (STOP, 422, "order.price_off_tick", "stop_price", {"stop_price": "90.001"}),
        ({}, 422, "order.display_quantity_invalid", "display_quantity", {"display_quantity": "1"}),
        (STOP, 400, "request.number_not_string", "stop_price", {"stop_price": 90}),
        ({}, 400, "request.field_unknown", "trail_bps", {"trail_bps": 5}),
        (
            {},
            422,
            "order.priority_needs_reduction",
            "keep_priority",
            {"quantity": "0.5", "display_quantity": "0.1", "keep_priority": True},
        ),
    ],
)
def test_refused_amend_changes_nothing(
    ada: Trader,
    order: dict[str, Any],
    status: int,
    code: str,
    field: str,
    terms: dict[str, Any],
) -> None:
    order_id = placed(ada, **order)["id"]
    before = ada.balance("USDT")
    body = decoded(response := ada.amend(order_id, **terms))
    assert (response.status_code, body["code"]) == (status, code)
    assert body["errors"][0]["field"] == field
    assert ada.balance("USDT") == before
    assert not CommandRow.objects.exists()


def test_the_stop_price_of_somebody_else_is_not_there(ada: Trader, boris: Trader) -> None:
    order_id = placed(ada, **STOP)["id"]
    response = boris.amend(order_id, stop_price="112")
    assert (response.status_code, decoded(response)["code"]) == (404, "order.not_found")
    assert not CommandRow.objects.exists()
