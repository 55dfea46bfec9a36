"""Parameters, fields and bodies of every route: nothing that a request brings is overlooked."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from exchange.api.keys import KEYS_PER_USER_MAX
from exchange.api.routes import COSTS, TAKES, Takes
from exchange.models import ApiKey
from orders.models import Command, Order
from tests.api.test_rates import api_addresses, path_of
from tests.factories.trading import JSON, Trader, decoded, encode, order_body

NOTHING = Takes()


def operations() -> Iterator[tuple[str, str, Takes]]:
    """Method, path and what it takes, of every address."""
    for address in api_addresses():
        for method, name in COSTS:
            if name == address.name:
                yield method, f"/api/v1/{path_of(address)}", TAKES.get((method, name), NOTHING)


def refusal(response: HttpResponse) -> tuple[int, str, str | None]:
    body = decoded(response)
    field = body["errors"][0]["field"] if body["errors"] else None
    return response.status_code, body["code"], field


def test_what_is_declared_is_what_is_documented() -> None:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    by_name = {address.name: str(address.pattern) for address in api_addresses()}
    assert set(TAKES) <= set(COSTS)
    for method, name in COSTS:
        path = "/api/v1/" + by_name[name].replace("<str:", "{").replace(">", "}")
        documented = schema["paths"][path][method.lower()]
        queries = [one for one in documented.get("parameters", []) if one["in"] == "query"]
        several = {one["name"] for one in queries if one["schema"]["type"] == "array"}
        once = {one["name"] for one in queries} - several
        has_body = "requestBody" in documented
        assert TAKES.get((method, name), NOTHING) == Takes(
            frozenset(once), frozenset(several), has_body
        ), (method, path)


def test_an_unknown_parameter_is_refused_everywhere(ada: Trader) -> None:
    for method, path, _ in operations():
        response = Client().generic(method, f"{path}?symbl=BTC-USDT")
        assert refusal(response) == (400, "request.field_unknown", "symbl"), (method, path)


def test_a_parameter_that_stands_twice_is_refused_everywhere(ada: Trader) -> None:
    for method, path, takes in operations():
        for name in takes.once:
            response = Client().generic(method, f"{path}?{name}=1&{name}=1")
            assert refusal(response) == (400, "request.duplicate_field", name), (method, path)


@pytest.mark.parametrize("value", ["%00", "BTC-USDT%00", "a%1fb", "%7f", "%0a"])
def test_control_characters_in_parameters_are_refused_everywhere(ada: Trader, value: str) -> None:
    for method, path, takes in operations():
        for name in takes.once | takes.several:
            response = Client().generic(method, f"{path}?{name}={value}")
            assert refusal(response) == (400, "request.field_invalid", name), (method, path)


def test_a_body_is_refused_where_nothing_reads_it(ada: Trader) -> None:
    """`DELETE /orders` with a symbol in its body would cancel the orders of all symbols."""
    ada.place()
    for method, path, takes in operations():
        if not takes.body and method != "GET":
            response = Client().generic(method, path, encode({"symbol": "BTC-USDT"}), JSON)
            assert refusal(response) == (400, "request.body_unexpected", None), (method, path)
    signed = ada.send("DELETE", "/orders", {"symbol": "BTC-USDT"})
    assert refusal(signed) == (400, "request.body_unexpected", None)
    assert not Command.objects.exclude(kind="place").exists()


BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/orders": order_body(),
    "/api/v1/orders/batch": {"orders": []},
    "/api/v1/orders/batch-cancel": {"order_ids": []},
    "/api/v1/orders/test": order_body(),
    "/api/v1/orders/1": {"price": "1"},
    "/api/v1/order-lists": {"type": "oco", "symbol": "BTC-USDT", "orders": []},
    "/api/v1/orders/cancel-after": {"timeout_ms": 60_000},
    "/api/v1/keys": {"label": "bot"},
}


def test_unknown_fields_and_repeated_ones_are_refused_everywhere(ada: Trader) -> None:
    session = Client()
    session.force_login(ada.user)
    walked = set()
    for method, path, takes in operations():
        if not takes.body:
            continue
        body = BODIES[path]
        walked.add(path)
        unknown = session.generic(method, path, encode({**body, "sdie": "buy"}), JSON)
        assert refusal(unknown) == (400, "request.field_unknown", "sdie"), path
        name, text = next(iter(body)), encode(body)
        for again in (name, "".join(f"\\u{ord(one):04x}" for one in name)):
            data = text[:-1] + f',"{again}":'.encode() + encode(body[name]) + b"}"
            twice = session.generic(method, path, data, JSON)
            assert refusal(twice) == (400, "request.duplicate_field", name), path
    assert walked == set(BODIES)
    assert not Order.objects.exists()
    assert ApiKey.objects.count() == 1


def test_a_repeated_field_of_a_listed_order_is_refused(ada: Trader) -> None:
    leg = '{"side":"sell","quantity":"1","type":"limit","price":"110","client_order_id":"a"}'
    twice = leg.replace('"side":"sell"', '"side":"sell","side":"sell"')
    for first, second in ((leg, twice), (twice, leg)):
        body = f'{{"type":"oco","symbol":"BTC-USDT","orders":[{first},{second}]}}'.encode()
        response = ada.send("POST", "/order-lists", body)
        assert refusal(response) == (400, "request.duplicate_field", "side")
    assert not Order.objects.exists()


def test_statuses_may_stand_several_times_and_mean_all_of_them(ada: Trader) -> None:
    placed = {status: decoded(ada.place())["id"] for status in ("new", "cancelled", "expired")}
    for status, order_id in placed.items():
        if status != "new":
            Order.objects.filter(pk=order_id).update(engine_seq=1, status=status)

    def listed(query: str) -> set[str]:
        return {one["id"] for one in decoded(ada.get(f"/orders?{query}"))["items"]}

    assert listed("status=new&status=cancelled") == {placed["new"], placed["cancelled"]}
    assert listed("status=cancelled&status=new") == {placed["new"], placed["cancelled"]}
    assert listed("status=final") == {placed["cancelled"], placed["expired"]}
    assert listed("status=open&status=final") == set(placed.values())
    refused = ada.get("/orders?status=open&status=done")
    assert refusal(refused) == (400, "request.field_invalid", "status")


# --- keys: a cap that holds however many ask at once --------------------------------------------


def test_the_cap_on_keys_has_a_code_of_its_own(ada: Trader) -> None:
    session = Client()
    session.force_login(ada.user)
    for _ in range(KEYS_PER_USER_MAX - 1):
        assert session.post("/api/v1/keys", encode({"label": "x"}), JSON).status_code == 201
    response = session.post("/api/v1/keys", encode({"label": "x"}), JSON)
    assert refusal(response) == (422, "auth.keys_max", None)
    assert decoded(response)["params"] == {"limit": KEYS_PER_USER_MAX}
    assert session.delete(f"/api/v1/keys/{ada.key}").status_code == 204
    assert session.post("/api/v1/keys", encode({"label": "x"}), JSON).status_code == 201
