"""Batches of orders and cancels over HTTP: each part for itself, in its order, in one commit."""

from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpResponse

from exchange.api.requests import BATCH_BODY_BYTES_MAX
from exchange.infra.database import connect
from exchange.infra.metrics import BATCH_SIZE, ORDERS_REFUSED
from exchange.infra.redis import commands_stream, redis_client
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import Cancel, Command, Place
from matching.state.codec import decode_command
from orders.intake import jobs
from orders.intake.process import intake
from orders.models import ClientOrderId, Order
from orders.models import Command as CommandRow
from orders.writes.batches import BATCH_ORDERS_MAX
from tests.api.test_order_refusals import state_of_everything
from tests.api.test_rates import tier_of
from tests.factories.metrics import metric_value
from tests.factories.models import SymbolFactory
from tests.factories.trading import NOTHING_YET, Trader, decoded, order_body, trader_make
from tests.waiting import wait_until

Body = dict[str, Any]

LOCK_USDT = """
SELECT 1 FROM wallets_balance AS balance JOIN exchange_asset AS asset ON asset.id = balance.asset_id
WHERE balance.account_id = %s AND asset.code = 'USDT' FOR UPDATE OF balance
"""


def post(trader: Trader, *orders: object) -> HttpResponse:
    return trader.send("POST", "/orders/batch", {"orders": orders})


def results(response: HttpResponse) -> list[Body]:
    assert response.status_code == 200, response.content
    found: list[Body] = decoded(response)["results"]
    assert all(("order" in one) is (one["status"] < 300) for one in found)
    assert all(("error" in one) is (one["status"] >= 300) for one in found)
    return found


def told(result: Body) -> tuple[int, str, str]:
    return result["status"], result["error"]["code"], result["error"]["field"]


def refusal(response: HttpResponse) -> tuple[int, str, str | None]:
    body = decoded(response)
    errors = body.get("errors") or [{}]
    return response.status_code, body["code"], errors[0].get("field")


def commands_sent() -> list[Command]:
    entries: Any = redis_client().xrange(commands_stream(1))
    return [decode_command(fields[b"c"]) for _, fields in entries]


def commits() -> tuple[float, float]:
    """How many commits of intake there were, and of how many requests."""
    accepted = BATCH_SIZE.labels("accept")
    return metric_value(accepted, "_count"), metric_value(accepted, "_sum")


def mixed() -> list[tuple[object, tuple[int, str, str] | None]]:
    """Orders, and how each is refused; None: it is accepted."""
    return [
        (order_body(), None),
        (order_body(price="100.001"), (422, "order.price_off_tick", "orders.1.price")),
        (order_body(symbol="NO-SUCH"), (404, "symbol.unknown", "orders.2.symbol")),
        ("order", (400, "request.field_invalid", "orders.3")),
        ({"side": "buy"}, (400, "request.field_missing", "orders.4.type")),
        (order_body(quantity=1), (400, "request.number_not_string", "orders.5.quantity")),
        (order_body(colour="red"), (400, "request.field_unknown", "orders.6.colour")),
        (order_body(price=None), (422, "order.price_required", "orders.7.price")),
        (order_body(quantity="999", price="999"), (422, "funds.insufficient", "orders.8")),
        (order_body(side="sell", quantity="3"), None),
        (None, (400, "request.field_invalid", "orders.10")),
    ]  # fmt: skip


def test_each_order_is_accepted_or_refused_for_itself(ada: Trader) -> None:
    orders, expected = zip(*mixed(), strict=True)
    found = results(post(ada, *orders))
    assert [None if one["status"] == 201 else told(one) for one in found] == list(expected)
    first, last = found[0]["order"], found[9]["order"]
    assert [str(one.pk) for one in Order.objects.order_by("id")] == [first["id"], last["id"]]
    for order in (first, last):
        assert decoded(ada.get(f"/orders/{order['id']}")) == {**order, **NOTHING_YET}
    assert ada.balance("USDT")[1] == Decimal("100.1")
    assert ada.balance("BTC")[1] == Decimal(3)
    assert ClientOrderId.objects.count() == 2, "the ids of refused orders are free"
    error = found[1]["error"]
    assert set(error) == {"code", "detail", "field", "params"}
    assert found[5]["error"]["detail"].count("orders.5.quantity")


def test_refusals_are_counted_by_code_and_those_of_the_request_once(ada: Trader) -> None:
    def counted(code: str) -> float:
        return metric_value(ORDERS_REFUSED.labels(code))

    before = [counted(code) for code in ("order.price_off_tick", "request.field_invalid")]
    post(ada, order_body(price="0.001"), order_body(), order_body(price="0.002"))
    post(ada)
    after = [counted(code) for code in ("order.price_off_tick", "request.field_invalid")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1]


def test_a_batch_is_one_commit_and_arrives_in_its_order(ada: Trader) -> None:
    ada.place()  # intake runs
    commits_before, requests_before = commits()
    sides = ["buy", "sell"] * (BATCH_ORDERS_MAX // 2)
    found = results(post(ada, *(order_body(side=side, quantity="0.1") for side in sides)))
    commits_after, requests_after = commits()
    assert [one["status"] for one in found] == [201] * BATCH_ORDERS_MAX
    assert [one["order"]["side"] for one in found] == sides
    assert (commits_after - commits_before, requests_after - requests_before) == (1, 50)
    sent = [str(one.order_id) for one in commands_sent()[1:] if isinstance(one, Place)]
    assert sent == [one["order"]["id"] for one in found]


def test_funds_go_to_the_first_orders(symbol: Symbol) -> None:
    poor = trader_make("poor", funds={"BTC": 2})
    sales = [order_body(side="sell", quantity=size) for size in ("1", "1.5", "1", "0.1")]
    found = results(post(poor, *sales))
    assert [one["status"] for one in found] == [201, 422, 201, 422]
    assert found[1]["error"]["params"] == {"needed": "1.5", "available": "1", "asset": "BTC"}


def test_orders_of_several_symbols_stand_in_one_batch(ada: Trader) -> None:
    SymbolFactory.create(code="ETH-USDT", quote=Symbol.objects.get().quote)
    catalogue_forget()
    found = results(post(ada, order_body(), order_body(symbol="ETH-USDT", price="50")))
    assert [one["order"]["symbol"] for one in found] == ["BTC-USDT", "ETH-USDT"]
    assert ada.balance("USDT")[1] == Decimal("150.15")


# --- sent again (L7)


def test_a_batch_sent_again_is_the_same_orders(ada: Trader) -> None:
    orders = [order_body() for _ in range(3)]
    first = results(post(ada, *orders))
    again = results(post(ada, *orders))
    assert [one["status"] for one in again] == [200] * 3
    assert [one["order"] for one in again] == [one["order"] for one in first]
    assert Order.objects.count() == 3


def test_what_is_new_in_a_repeated_batch_is_placed(ada: Trader) -> None:
    known, other = order_body(), order_body()
    assert ada.place(**known).status_code == 201
    assert ada.place(**other).status_code == 201
    found = results(post(ada, {**other, "price": "99"}, known, order_body()))
    assert [one["status"] for one in found] == [409, 200, 201]
    assert told(found[0])[1:] == ("order.client_id_conflict", "orders.0.client_order_id")
    assert Order.objects.count() == 3


def test_accepted_orders_are_answered_even_when_they_would_be_refused_now(ada: Trader) -> None:
    orders = [order_body() for _ in range(2)]
    first = results(post(ada, *orders))
    Symbol.objects.update(state="halt")
    catalogue_forget()
    found = results(post(ada, orders[1], {**orders[0], "price": "99"}, order_body()))
    assert found[0]["order"]["id"] == first[1]["order"]["id"]
    assert [one["status"] for one in found] == [200, 409, 409]
    assert told(found[1])[1] == "order.client_id_conflict"
    assert told(found[2])[1:] == ("symbol.halted", "orders.2.symbol")


# --- refused as a whole


@pytest.mark.parametrize(
    ("status", "code", "field", "body"),
    [
        (400, "request.field_invalid", "orders", {"orders": []}),
        (400, "request.field_invalid", "orders", {"orders": [order_body()] * 51}),
        (400, "request.field_invalid", "orders", {"orders": order_body()}),
        (400, "request.field_invalid", "orders", {"orders": None}),
        (400, "request.field_missing", "orders", {}),
        (400, "request.field_unknown", "symbol", {"symbol": "BTC-USDT", "orders": [order_body()]}),
        (400, "request.malformed", None, [order_body()]),
        (400, "request.malformed", None, b"{"),
        (400, "request.malformed", None, b'{"orders":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
        (413, "request.too_large", None, b"{}" + b" " * BATCH_BODY_BYTES_MAX),
        (
            400,
            "request.field_invalid",
            "orders.2.client_order_id",
            {"orders": [order_body(client_order_id=name) for name in "aba"]},
        ),
        (400, "request.duplicate_field", "side", b'{"orders":[{"side":"buy","side":"sell"}]}'),
    ],
)
def test_faults_of_the_request_refuse_all_of_it(
    ada: Trader, status: int, code: str, field: str | None, body: object
) -> None:
    before = state_of_everything()
    assert refusal(ada.send("POST", "/orders/batch", body)) == (status, code, field)
    assert state_of_everything() == before
    assert not commands_sent()


def test_fifty_orders_with_long_terms_are_within_the_bound(ada: Trader) -> None:
    stop = {"type": "stop_limit", "stop_price": "90.00", "price": "100.00", "quantity": "0.1000"}
    orders = [
        order_body(
            **stop,
            time_in_force="gtc",
            trigger_source="best",
            self_trade_prevention="cancel_incoming",
            client_order_id=f"{at:064}",
        )
        for at in range(BATCH_ORDERS_MAX)
    ]
    response = post(ada, *orders)
    assert {one["status"] for one in results(response)} == {201}


@pytest.mark.parametrize("path", ["/orders/batch", "/orders/batch-cancel"])
def test_who_may_not_trade_gets_no_results(symbol: Symbol, path: str) -> None:
    reader = trader_make("reader", can_trade=False)
    body = {"orders": [order_body()]}
    assert refusal(reader.send("POST", path, body))[1] == "auth.scope_missing"
    assert not Order.objects.exists()


def test_a_queue_without_room_takes_none_of_the_orders(
    ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.place()
    before = state_of_everything()
    monkeypatch.setattr(intake(), "is_stopping", True)  # it refuses as a full queue does
    response = post(ada, *(order_body() for _ in range(3)))
    assert refusal(response)[:2] == (503, "engine.busy")
    assert response["Retry-After"] == "1"
    assert state_of_everything() == before


def test_an_outcome_that_nobody_knows_is_the_result_of_its_order_alone(
    ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second order pays with is locked for longer than the client is kept waiting."""
    monkeypatch.setattr(jobs, "ANSWER_S", 3.0)
    orders = [order_body(side="sell"), order_body()]
    with connect("test-locker") as locker, locker.transaction():
        locker.execute(LOCK_USDT, (ada.account_id,))
        found = results(post(ada, *orders))
        assert found[0]["status"] == 201
        assert told(found[1]) == (503, "engine.outcome_unknown", "orders.1")
    wait_until(lambda: Order.objects.count() == 2, lambda: "orders")
    asked = decoded(ada.get(f"/orders/by-client-id/{orders[1]['client_order_id']}"))
    again = results(post(ada, *orders))
    assert [one["status"] for one in again] == [200, 200]
    assert again[1]["order"]["id"] == asked["id"]


# --- rates


def test_each_order_counts(ada: Trader) -> None:
    tier_of(ada, orders_per_second=60)
    response = post(ada, *(order_body(quantity="0.1") for _ in range(BATCH_ORDERS_MAX)))
    assert response["RateLimit"] == '"orders";r=10;t=1'


def test_the_bucket_takes_all_of_a_batch_or_none(ada: Trader) -> None:
    tier_of(ada, orders_per_second=1)
    first = post(ada, *(order_body(quantity="0.1") for _ in range(BATCH_ORDERS_MAX)))
    assert {one["status"] for one in results(first)} == {201}, "a full bucket is let into debt"
    before = state_of_everything()
    refused = post(ada, order_body(), order_body())
    assert refusal(refused)[:2] == (429, "risk.order_rate")
    assert int(refused["Retry-After"]) > 1
    assert state_of_everything() == before


@pytest.mark.parametrize(
    ("body", "left"), [(b"{", 99), ({"orders": []}, 99), ({"orders": [{}] * 1_000}, 50)]
)
def test_what_is_no_batch_counts_once_and_at_most_as_a_whole_one(
    ada: Trader, body: object, left: int
) -> None:
    tier_of(ada, orders_per_second=100)
    refused = ada.send("POST", "/orders/batch", body)
    assert refused.status_code == 400
    assert refused["RateLimit"] == f'"orders";r={left};t=1'


# --- cancels


def cancel(trader: Trader, **ids: Any) -> HttpResponse:
    return trader.send("POST", "/orders/batch-cancel", ids)


def test_cancels_of_a_batch_are_durable_each_for_itself(ada: Trader, boris: Trader) -> None:
    placed = [decoded(ada.place()) for _ in range(4)]
    foreign = decoded(boris.place())
    Order.objects.filter(pk=placed[1]["id"]).update(
        engine_seq=1, priority_seq=1, status="cancelled"
    )
    before = commits()
    response = cancel(
        ada,
        order_ids=[placed[0]["id"], placed[1]["id"], foreign["id"], "x", "9" * 19],
        client_order_ids=[placed[3]["client_order_id"], foreign["client_order_id"], "a b", "\x7f"],
    )
    found = results(response)
    assert [one["status"] for one in found] == [202, 409, 404, 404, 404, 202, 404, 404, 404]
    assert told(found[1]) == (409, "order.not_open", "order_ids.1")
    assert told(found[2]) == (404, "order.not_found", "order_ids.2")
    assert told(found[6]) == (404, "order.not_found", "client_order_ids.1")
    sent = [found[0]["order"], found[5]["order"]]
    assert [one["id"] for one in sent] == [placed[0]["id"], placed[3]["id"]]
    cancels = [str(one.order_id) for one in commands_sent() if isinstance(one, Cancel)]
    assert cancels == [one["id"] for one in sent]
    ids = CommandRow.objects.filter(kind="cancel").order_by("id").values_list("pk", flat=True)
    assert [str(pk) for pk in ids] == [one["command_id"] for one in sent]
    assert commits()[0] - before[0] == 1


@pytest.mark.parametrize(
    ("code", "field", "body"),
    [
        ("request.field_invalid", "order_ids", {}),
        ("request.field_invalid", "order_ids", {"order_ids": []}),
        ("request.field_invalid", "order_ids", {"order_ids": ["1"] * 51}),
        (
            "request.field_invalid",
            "order_ids",
            {"order_ids": ["1"] * 25, "client_order_ids": ["1"] * 26},
        ),
        ("request.field_invalid", "order_ids", {"order_ids": "1"}),
        ("request.field_invalid", "order_ids[0]", {"order_ids": [1]}),
        ("request.field_unknown", "symbol", {"order_ids": ["1"], "symbol": "BTC-USDT"}),
    ],
)
def test_cancels_that_are_no_batch_are_refused_as_a_whole(
    ada: Trader, code: str, field: str, body: Body
) -> None:
    ada.place()
    assert refusal(cancel(ada, **body)) == (400, code, field)
    assert not CommandRow.objects.exclude(kind="place").exists()


def test_each_cancel_counts(ada: Trader) -> None:
    tier_of(ada, orders_per_second=1, cancels_per_second=30)
    response = cancel(ada, order_ids=["1"] * 20, client_order_ids=["a"] * 10)
    assert response["RateLimit"].startswith('"cancels";r=30;')


def test_before_the_end_of_an_auction_no_cancel_is_taken(ada: Trader) -> None:
    placed = decoded(ada.place())
    Symbol.objects.update(state="auction_cutoff")
    catalogue_forget()
    found = results(cancel(ada, order_ids=[placed["id"], "1"]))
    assert told(found[0]) == (409, "symbol.in_auction", "order_ids.0")
    assert told(found[1]) == (404, "order.not_found", "order_ids.1")
    assert not CommandRow.objects.exclude(kind="place").exists()
