"""Lists of orders over HTTP: all or nothing; reads, cancels, refusals, and whose they are."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.http import HttpResponse

from exchange.infra.redis import commands_stream, redis_client, top_key
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import OCO, Cancel, Command, PlaceList
from matching.state.codec import decode_command
from orders.models import ClientOrderId, Order, OrderList
from orders.models import Command as CommandRow
from risk.pretrade.selectors import tops_forget
from tests.api.test_order_refusals import state_of_everything
from tests.factories.trading import NOTHING_YET, Trader, decoded, trader_make

Body = dict[str, Any]

TAKE: Body = {"side": "sell", "type": "limit", "price": "120", "quantity": "1"}
STOP: Body = {"side": "sell", "type": "stop_market", "stop_price": "90", "quantity": "1"}
ENTRY: Body = {"side": "buy", "type": "limit", "price": "100", "quantity": "1"}


def body_of(kind: str, *orders: Body, symbol: str = "BTC-USDT") -> Body:
    """A list whose orders have client ids of their own unless they name one."""
    named = [{"client_order_id": f"leg-{at}", **one} for at, one in enumerate(orders)]
    return {"type": kind, "symbol": symbol, "orders": named}


def post(trader: Trader, kind: str, *orders: Body) -> HttpResponse:
    return trader.send("POST", "/order-lists", body_of(kind, *orders))


def placed(trader: Trader, kind: str, *orders: Body) -> Body:
    response = post(trader, kind, *orders)
    assert response.status_code == 201, response.content
    return decoded(response)


def commands_sent() -> list[Command]:
    entries: Any = redis_client().xrange(commands_stream(1))
    return [decode_command(fields[b"c"]) for _, fields in entries]


def refusal(response: HttpResponse) -> tuple[int, str, str | None]:
    body = decoded(response)
    errors = body.get("errors") or [{}]
    return response.status_code, body["code"], errors[0].get("field")


def symbol_change(**changes: Any) -> None:
    Symbol.objects.update(**changes)
    catalogue_forget()


def test_a_pair_is_placed_as_one(ada: Trader) -> None:
    answer = placed(ada, "oco", TAKE, STOP)
    assert (answer["type"], answer["symbol"]) == ("oco", "BTC-USDT")
    assert [order["client_order_id"] for order in answer["orders"]] == ["leg-0", "leg-1"]
    assert {order["list_id"] for order in answer["orders"]} == {answer["id"]}
    assert [order["status"] for order in answer["orders"]] == ["new", "new"]
    assert ada.balance("BTC") == (Decimal(99), Decimal(1)), "the two of them share one reservation"
    [command] = commands_sent()
    assert isinstance(command, PlaceList)
    assert (command.kind, str(command.list_id)) == (OCO, answer["id"])
    assert [str(one.order_id) for one in command.orders] == [
        order["id"] for order in answer["orders"]
    ]


def test_a_list_reads_as_it_was_answered_and_so_do_its_orders(ada: Trader) -> None:
    first = placed(ada, "oco", TAKE, STOP)
    assert decoded(ada.get(f"/order-lists/{first['id']}")) == first
    for order in first["orders"]:
        shown = decoded(ada.get(f"/orders/{order['id']}"))
        assert shown == {**order, **NOTHING_YET}


def test_lists_are_paged_newest_first(ada: Trader, boris: Trader) -> None:
    names = ("a", "b", "c")
    legs = [({**TAKE, "client_order_id": f"{n}1"}, {**STOP, "client_order_id": n}) for n in names]
    made = [placed(ada, "oco", *pair)["id"] for pair in legs]
    placed(boris, "oco", TAKE, STOP)
    page = decoded(ada.get("/order-lists?limit=2"))
    rest = decoded(ada.get(f"/order-lists?limit=2&cursor={page['next']}"))
    assert [one["id"] for one in (*page["items"], *rest["items"])] == made[::-1]
    assert [len(one["orders"]) for one in page["items"]] == [2, 2]
    assert rest["next"] is None
    assert refusal(ada.get("/order-lists?page=2"))[1] == "request.field_unknown"


def test_an_entry_with_its_exits_reserves_for_the_entry_alone(ada: Trader) -> None:
    answer = placed(ada, "otoco", ENTRY, TAKE, STOP)
    assert [order["side"] for order in answer["orders"]] == ["buy", "sell", "sell"]
    assert ada.balance("USDT")[1] == Decimal("100.1")
    assert ada.balance("BTC")[1] == 0


def test_a_sale_pays_for_the_purchase_after_it(ada: Trader) -> None:
    """100 less 0.1 of fee is what the sale brings in at least."""
    sale = {**ENTRY, "side": "sell"}
    fits = {**ENTRY, "price": "99", "quantity": "1"}
    placed(ada, "oto", sale, fits)
    assert (ada.balance("BTC")[1], ada.balance("USDT")[1]) == (Decimal(1), Decimal(0))


@pytest.mark.parametrize(
    ("orders", "params"),
    [
        (
            [ENTRY, {**TAKE, "quantity": "1.0001"}],
            {"needed": "1.0001", "asset": "BTC", "brings": "1"},
        ),
        (
            [{**ENTRY, "side": "sell"}, {**ENTRY, "price": "99.81"}],
            {"needed": "99.90981", "asset": "USDT", "brings": "99.9"},
        ),
    ],
)
def test_what_the_first_order_does_not_bring_in_is_refused(
    ada: Trader, orders: list[Body], params: Body
) -> None:
    before = state_of_everything()
    response = post(ada, "oto", *orders)
    assert refusal(response) == (422, "order.list_not_covered", "orders.1.quantity")
    assert decoded(response)["params"] == params
    assert state_of_everything() == before


def test_the_pair_after_an_entry_has_to_be_paid_for_in_full(ada: Trader) -> None:
    response = post(ada, "otoco", ENTRY, TAKE, {**STOP, "quantity": "1.5"})
    assert refusal(response)[1] == "order.list_not_covered"
    assert decoded(response)["params"]["needed"] == "1.5"


@pytest.mark.parametrize(
    ("status", "code", "field", "kind", "orders"),
    [
        # what a list is
        (400, "request.field_invalid", "type", "oca", [TAKE, STOP]),
        (422, "order.list_invalid", "orders", "oco", []),
        (422, "order.list_invalid", "orders", "oco", [STOP]),
        (422, "order.list_invalid", "orders", "oco", [TAKE, STOP, STOP]),
        (422, "order.list_invalid", "orders", "oto", [ENTRY]),
        (422, "order.list_invalid", "orders", "otoco", [ENTRY, TAKE]),
        (422, "order.list_invalid", "orders", "oco", [{}] * 50),
        (422, "order.list_invalid", "orders", "oco", [TAKE, {**TAKE, "price": "121"}]),
        (422, "order.list_invalid", "orders.1.side", "oco", [TAKE, {**STOP, "side": "buy"}]),
        (
            422,
            "order.list_invalid",
            "orders.2.side",
            "otoco",
            [ENTRY, TAKE, {**STOP, "side": "buy"}],
        ),
        (422, "order.list_invalid", "orders.1.type", "oco", [STOP, {**TAKE, "type": "market"}]),
        (422, "order.list_invalid", "orders.0.type", "oto", [{**ENTRY, "type": "market"}, TAKE]),
        (
            422,
            "order.list_invalid",
            "orders.0.time_in_force",
            "oco",
            [{**TAKE, "time_in_force": "gtd", "expires_at": "2100-01-01T00:00:00Z"}, STOP],
        ),
        (
            422,
            "order.list_invalid",
            "orders.1.time_in_force",
            "oco",
            [TAKE, {**TAKE, "type": "stop_limit", "stop_price": "9", "time_in_force": "ioc"}],
        ),
        (
            422,
            "order.list_invalid",
            "orders.0.self_trade_prevention",
            "oto",
            [{**ENTRY, "self_trade_prevention": "decrement"}, TAKE],
        ),
        (
            422,
            "order.list_invalid",
            "orders.1.client_order_id",
            "oco",
            [{**TAKE, "client_order_id": "x"}, {**STOP, "client_order_id": "x"}],
        ),
        # what each order is
        (422, "order.price_off_tick", "orders.0.price", "oco", [{**TAKE, "price": "1.001"}, STOP]),
        (
            422,
            "order.stop_price_required",
            "orders.1.stop_price",
            "oco",
            [TAKE, {**STOP, "stop_price": None}],
        ),
        (
            422,
            "order.client_id_invalid",
            "orders.1.client_order_id",
            "oco",
            [TAKE, {**STOP, "client_order_id": "a b"}],
        ),
        (
            422,
            "order.quantity_or_quote_amount",
            "orders.0.quote_amount",
            "oco",
            [{**TAKE, "quote_amount": "5"}, STOP],
        ),
        (
            422,
            "order.quantity_above_max",
            "orders.2.quantity",
            "otoco",
            [ENTRY, TAKE, {**STOP, "quantity": "1001"}],
        ),
        # what a body is
        (
            400,
            "request.number_not_string",
            "orders.1.quantity",
            "oco",
            [TAKE, {**STOP, "quantity": 1}],
        ),
        (400, "request.field_unknown", "orders.0.colour", "oco", [{**TAKE, "colour": "red"}, STOP]),
        (
            400,
            "request.field_unknown",
            "orders.0.symbol",
            "oco",
            [{**TAKE, "symbol": "BTC-USDT"}, STOP],
        ),
        (
            400,
            "request.field_unknown",
            "orders.0.orders",
            "oco",
            [{**TAKE, "orders": [TAKE]}, STOP],
        ),
        (400, "request.field_missing", "orders.1.side", "oco", [TAKE, {"type": "limit"}]),
    ],
)
def test_refused_lists_change_nothing(
    ada: Trader, status: int, code: str, field: str, kind: str, orders: list[Body]
) -> None:
    before = state_of_everything()
    response = post(ada, kind, *orders)
    assert refusal(response) == (status, code, field), response.content
    assert state_of_everything() == before
    assert not OrderList.objects.exists()
    assert not commands_sent()


@pytest.mark.parametrize(
    ("field", "orders"),
    [
        ("orders", "abc"),
        ("orders", {"0": TAKE}),
        ("orders", None),
        ("orders", 5),
        ("orders.0", ["abc", "def"]),
        ("orders.0", [[TAKE], [STOP]]),
        ("orders.0", [None, None]),
        ("orders.0", [1, 2]),
    ],
)
def test_bodies_of_other_shapes_are_refused_by_field(
    ada: Trader, field: str, orders: object
) -> None:
    body = {"type": "oco", "symbol": "BTC-USDT", "orders": orders}
    response = ada.send("POST", "/order-lists", body)
    assert refusal(response) == (400, "request.field_invalid", field)


def test_bodies_that_are_no_list_at_all(ada: Trader) -> None:
    deep = b'{"type":"oco","symbol":"BTC-USDT","orders":' + b"[" * 4_000 + b"]" * 4_000 + b"}"
    for data, code in (
        (b"[]", "request.malformed"),
        (b"{", "request.malformed"),
        (deep, "request.malformed"),
        (b"{}" + b" " * 9_000, "request.too_large"),
        (b'{"type":"oco"}', "request.field_missing"),
    ):
        assert refusal(ada.send("POST", "/order-lists", data))[1] == code
    assert not Order.objects.exists()


def test_the_third_order_refused_leaves_nothing_of_the_first_two(ada: Trader) -> None:
    before = state_of_everything()
    response = post(ada, "otoco", ENTRY, TAKE, {**STOP, "stop_price": "90.001"})
    assert refusal(response) == (422, "order.price_off_tick", "orders.2.stop_price")
    assert state_of_everything() == before
    assert not ClientOrderId.objects.exists(), "and its client ids are free"


def test_a_pair_that_cannot_be_paid_for_is_refused_as_one(symbol: Symbol) -> None:
    poor = trader_make("poor", funds={"BTC": 1})
    before = state_of_everything()
    response = post(poor, "oco", TAKE, {**STOP, "quantity": "1.5"})
    assert refusal(response)[:2] == (422, "funds.insufficient")
    assert decoded(response)["params"] == {"needed": "1.5", "available": "1", "asset": "BTC"}
    assert state_of_everything() == before


def test_a_limit_that_waits_for_its_list_meets_no_band_yet(ada: Trader) -> None:
    symbol_change(band_ppm=50_000)
    redis_client().set(top_key("BTC-USDT"), msgspec.msgpack.encode([9_900, 10_000, 10_000, 1]))
    tops_forget()
    far = {**TAKE, "side": "buy", "price": "150"}
    held = {**far, "price": "70", "side": "sell"}
    assert refusal(post(ada, "oto", far, TAKE))[1:] == (
        "order.price_outside_band",
        "orders.0.price",
    )
    placed(ada, "oto", ENTRY, held)


# --- idempotency (L7)


def test_the_same_request_again_is_the_same_list(ada: Trader) -> None:
    first = post(ada, "otoco", ENTRY, TAKE, STOP)
    again = post(ada, "otoco", {**ENTRY, "price": "100.0"}, {**TAKE, "time_in_force": "gtc"}, STOP)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert decoded(again) == decoded(first)
    assert (Order.objects.count(), OrderList.objects.count()) == (3, 1)
    assert len(commands_sent()) == 1


@pytest.mark.parametrize(
    ("kind", "orders", "field"),
    [
        ("oco", [TAKE, {**STOP, "stop_price": "91"}], "orders.0.client_order_id"),
        ("oto", [TAKE, STOP], "orders.0.client_order_id"),
        (
            "oco",
            [{**STOP, "client_order_id": "leg-1"}, {**TAKE, "client_order_id": "leg-0"}],
            "orders.0.client_order_id",
        ),
        ("oco", [{**TAKE, "client_order_id": "new"}, STOP], "orders.1.client_order_id"),
    ],
    ids=["other terms", "another kind", "another sequence", "partly known"],
)
def test_another_request_under_the_same_ids_is_a_conflict(
    ada: Trader, kind: str, orders: list[Body], field: str
) -> None:
    placed(ada, "oco", TAKE, STOP)
    before = state_of_everything()
    assert refusal(post(ada, kind, *orders)) == (409, "order.client_id_conflict", field)
    assert state_of_everything() == before


def test_an_order_alone_is_no_order_of_a_list_however_equal(ada: Trader) -> None:
    placed(ada, "oco", TAKE, STOP)
    single = ada.place(**{**TAKE, "client_order_id": "leg-0"})
    assert refusal(single)[1] == "order.client_id_conflict"
    assert ada.place(**{**TAKE, "client_order_id": "alone"}).status_code == 201
    response = post(
        ada, "oco", {**TAKE, "client_order_id": "alone"}, {**STOP, "client_order_id": "n"}
    )
    assert refusal(response) == (409, "order.client_id_conflict", "orders.0.client_order_id")


def test_an_accepted_list_is_answered_even_when_it_would_be_refused_now(ada: Trader) -> None:
    first = placed(ada, "oco", TAKE, STOP)
    symbol_change(state="halt")
    again = post(ada, "oco", TAKE, STOP)
    assert again.status_code == 200
    assert decoded(again)["id"] == first["id"]
    assert refusal(post(ada, "oco", TAKE, {**STOP, "quantity": "2"}))[1] == (
        "order.client_id_conflict"
    )
    fresh = [{**one, "client_order_id": f"f{at}"} for at, one in enumerate((TAKE, STOP))]
    assert refusal(post(ada, "oco", *fresh))[1:] == ("symbol.halted", "symbol")


# --- cancel


def test_cancelling_a_list_cancels_each_order_that_lives(ada: Trader) -> None:
    answer = placed(ada, "otoco", ENTRY, TAKE, STOP)
    entry, take, stop = (order["id"] for order in answer["orders"])
    Order.objects.filter(pk=entry).update(
        engine_seq=1, priority_seq=1, status="filled", filled=Decimal(1)
    )
    response = ada.send("DELETE", f"/order-lists/{answer['id']}")
    assert response.status_code == 202
    assert [order["status"] for order in decoded(response)["orders"]] == ["filled", "new", "new"]
    cancelled = [one.order_id for one in commands_sent() if isinstance(one, Cancel)]
    assert cancelled == [int(take), int(stop)]
    assert set(CommandRow.objects.values_list("kind", flat=True)) == {"cancel"}


def test_a_list_that_ended_takes_no_cancel(ada: Trader) -> None:
    answer = placed(ada, "oco", TAKE, STOP)
    Order.objects.update(engine_seq=1, priority_seq=1, status="cancelled")
    response = ada.send("DELETE", f"/order-lists/{answer['id']}")
    assert refusal(response)[:2] == (409, "order.not_open")
    assert not CommandRow.objects.exists()


def test_an_auctions_last_moments_take_no_cancel_of_a_list(ada: Trader) -> None:
    answer = placed(ada, "oco", TAKE, STOP)
    symbol_change(state="auction_cutoff")
    response = ada.send("DELETE", f"/order-lists/{answer['id']}")
    assert refusal(response)[:2] == (409, "symbol.in_auction")
    assert not CommandRow.objects.exists()


# --- whose it is


@pytest.mark.parametrize("list_id", ["1", "0", "9" * 19, "9" * 40, "abc", "-1", "1.0"])
def test_unknown_lists_are_not_found(ada: Trader, list_id: str) -> None:
    for method in ("GET", "DELETE"):
        response = ada.send(method, f"/order-lists/{list_id}")
        assert refusal(response)[:2] == (404, "order.list_not_found")


def test_foreign_lists_look_exactly_like_unknown_ones(ada: Trader, boris: Trader) -> None:
    foreign = placed(ada, "oco", TAKE, STOP)["id"]
    for method in ("GET", "DELETE"):
        answers = [decoded(boris.send(method, f"/order-lists/{one}")) for one in (foreign, "12345")]
        for answer in answers:
            del answer["instance"]
        assert answers[0] == answers[1]
    assert decoded(boris.get("/order-lists")) == {"items": [], "next": None}
    assert not CommandRow.objects.exists()


def test_the_id_of_an_order_is_not_that_of_its_list(ada: Trader) -> None:
    order_id = placed(ada, "oco", TAKE, STOP)["orders"][0]["id"]
    assert ada.get(f"/order-lists/{order_id}").status_code == 404


def test_a_key_that_may_only_read_places_and_cancels_nothing(ada: Trader, symbol: Symbol) -> None:
    reader = trader_make("reader", can_trade=False)
    assert refusal(post(reader, "oco", TAKE, STOP))[:2] == (403, "auth.scope_missing")
    assert refusal(reader.send("DELETE", "/order-lists/1"))[:2] == (403, "auth.scope_missing")
    assert reader.get("/order-lists").status_code == 200
    assert not Order.objects.exists()


def test_a_suspended_user_places_no_list(ada: Trader) -> None:
    from exchange.access.principals import principals_forget

    ada.user.is_suspended = True
    ada.user.save(update_fields=["is_suspended"])
    principals_forget()
    assert refusal(post(ada, "oco", TAKE, STOP))[:2] == (403, "account.suspended")
    assert not Order.objects.exists()
