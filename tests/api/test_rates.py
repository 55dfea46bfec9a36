"""Rate limits: what each request weighs, which bucket pays, and what the answer says of it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from exchange.access import principals
from exchange.access.ends import key_revoke
from exchange.access.principals import CANCELS_PER_ORDER, ORDERS_PER_SECOND
from exchange.api import admission
from exchange.api import strangers as strangers_module
from exchange.api.keys import api_key_create
from exchange.api.routes import COSTS, METHODS, Bucket, Cost, weights_check
from exchange.api.strangers import BAD_KEYS
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.redis import redis_client
from exchange.infra.throttling import Guard, Ticket, now_ms
from exchange.models import Symbol
from orders.models import Order
from tests.factories.models import TierFactory
from tests.factories.trading import JSON, Trader, decoded, encode, order_body, trader_make

MANY = 200  # requests that no bucket of a test holds out against
STRANGERS_KEY = "tk_nobody-has-this"


def code_of(response: HttpResponse) -> str:
    return str(decoded(response)["code"])


def tier_of(trader: Trader, **rates: int | None) -> None:
    """Give a trader rates of their own, from now on."""
    trader.user.tier = TierFactory.create(name=f"of {trader.user}", **rates)
    trader.user.save()
    principals.principals_forget()


def addresses(resolver: URLResolver) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern)
        else:
            yield pattern


def api_addresses() -> list[URLPattern]:
    found = [one for one in get_resolver().url_patterns if str(one.pattern) == "api/v1/"]
    assert len(found) == 1
    assert isinstance(found[0], URLResolver)
    return [one for one in addresses(found[0]) if str(one.pattern) != "^.*$"]


def test_every_method_of_every_address_has_a_weight_and_nothing_else_has() -> None:
    taken = set()
    for address in api_addresses():
        view: Any = address.callback
        documented = view.cls
        names = {method for method in METHODS if hasattr(documented, method.lower())}
        assert names, address
        taken |= {(method, address.name) for method in names}
    assert taken == set(COSTS)
    assert all(cost.weight > 0 for cost in COSTS.values())


def test_an_address_that_nobody_weighed_is_not_served() -> None:
    addresses = [one for one in api_addresses() if one.name == "api-time"]
    weights_check(addresses)
    name, addresses[0].name = addresses[0].name, "api-new"
    try:
        with pytest.raises(AssertionError, match="GET api-new has no weight"):
            weights_check(addresses)
    finally:
        addresses[0].name = name


def test_only_addresses_without_a_principal_are_counted_by_network() -> None:
    public = {key for key, cost in COSTS.items() if cost.bucket is Bucket.PUBLIC}
    for address in api_addresses():
        view: Any = address.callback
        for method in METHODS:
            cost = COSTS.get((method, address.name or ""))
            if cost is None:
                continue
            is_public = Client().generic(method, "/api/v1/" + path_of(address)).status_code != 401
            assert is_public == ((method, address.name) in public), (method, address.name, view)


def path_of(address: URLPattern) -> str:
    return re.sub(r"<[^>]+>", "1", str(address.pattern))


# --- what an answer says ----------------------------------------------------------------------


def test_answers_say_what_is_left(ada: Trader) -> None:
    tier_of(ada, orders_per_second=3)
    places = [ada.place() for _ in range(3)]
    assert [one.status_code for one in places] == [201] * 3
    assert places[0]["RateLimit-Policy"] == '"orders";q=3;w=1'
    assert places[0]["RateLimit"] == '"orders";r=2;t=1'
    cancels = ada.cancel(decoded(places[0])["id"])
    assert cancels["RateLimit-Policy"] == f'"cancels";q={3 * CANCELS_PER_ORDER * 2};w=2'
    assert ada.get("/balances")["RateLimit"].startswith('"reads";r=')
    public = Client(REMOTE_ADDR="192.0.2.77").get("/api/v1/time")  # nobody else's network
    assert public["RateLimit-Policy"] == '"public";q=500;w=10'
    assert public["RateLimit"] == '"public";r=499;t=1'


def test_refusals_say_it_too(ada: Trader) -> None:
    tier_of(ada, orders_per_second=1)
    refused = next(one for _ in range(MANY) if (one := ada.place()).status_code == 429)
    assert code_of(refused) == "risk.order_rate"
    assert refused["RateLimit"] == '"orders";r=0;t=1'
    assert refused["Retry-After"] == "1"


def test_who_has_no_limit_is_told_of_none_and_costs_redis_nothing(ada: Trader) -> None:
    before = scripts_run()
    for response in (ada.place(), ada.get("/balances"), ada.get("/orders")):
        assert response.status_code < 300
        assert not response.has_header("RateLimit")
    assert scripts_run() == before


# --- what is counted --------------------------------------------------------------------------


def scripts_run() -> int:
    """Runs of the script of limits, by the commands that it alone runs."""
    stats: dict[str, Any] = redis_client().info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hmget", "set"))


def test_an_order_costs_one_round_trip_at_most(ada: Trader) -> None:
    tier_of(ada, orders_per_second=100)
    ada.place()  # Redis learns the script
    before = scripts_run()
    assert ada.place().status_code == 201
    assert scripts_run() == before + 1


def test_cancels_have_a_bucket_of_their_own(ada: Trader) -> None:
    tier_of(ada, orders_per_second=2)
    order_id = decoded(ada.place())["id"]
    while ada.place().status_code == 201:
        pass
    assert ada.cancel(order_id).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/orders/1", None),
        ("DELETE", "/orders", None),
        ("POST", "/orders/batch", {"orders": [{}]}),
        ("POST", "/orders/batch-cancel", {"order_ids": ["1"]}),
        ("POST", "/orders/test", {}),
        ("DELETE", "/orders/by-client-id/1", None),
        ("GET", "/orders/by-client-id/1", None),
        ("DELETE", "/order-lists/1", None),
        ("POST", "/orders/cancel-after", {"timeout_ms": 60_000}),
        ("GET", "/orders", None),
        ("GET", "/orders/1", None),
        ("GET", "/order-lists", None),
        ("GET", "/balances", None),
        ("GET", "/prevented-matches", None),
        ("PATCH", "/orders/1", {"price": "1"}),
    ],
)
def test_everything_a_user_asks_for_runs_out(
    ada: Trader, boris: Trader, method: str, path: str, body: object
) -> None:
    tier_of(ada, orders_per_second=1, cancels_per_second=1, reads_per_second=1)
    answers = (ada.send(method, path, body) for _ in range(MANY))
    refused = next(one for one in answers if one.status_code == 429)
    assert int(refused["Retry-After"]) >= 1
    assert code_of(refused) in ("request.rate_limited", "risk.order_rate")
    assert boris.send(method, path, body).status_code != 429, "rates are each user's own"


def test_each_order_of_a_list_counts(ada: Trader) -> None:
    tier_of(ada, orders_per_second=4)
    leg = {"side": "sell", "quantity": "1", "type": "limit", "price": "110"}
    stop = {
        "side": "sell",
        "quantity": "1",
        "type": "stop_limit",
        "price": "90",
        "stop_price": "90",
    }
    body = {
        "type": "oco",
        "symbol": "BTC-USDT",
        "orders": [{**leg, "client_order_id": "a"}, {**stop, "client_order_id": "b"}],
    }
    placed = ada.send("POST", "/order-lists", body)
    assert placed.status_code == 201
    assert placed["RateLimit"] == '"orders";r=2;t=1'
    unreadable = ada.send("POST", "/order-lists", {"type": "oco"})
    assert unreadable.status_code == 400
    assert unreadable["RateLimit"] in ('"orders";r=1;t=1', '"orders";r=2;t=1', '"orders";r=3;t=1')


def test_public_reads_run_out_by_network(
    symbol: Symbol, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "public_buckets", LocalBuckets(lambda: 0))  # no time passes
    settings.PUBLIC_WEIGHT_PER_SECOND = 1
    here, there = {"REMOTE_ADDR": "2001:db8::1"}, {"REMOTE_ADDR": "2001:db8:0:1::1"}
    same = {"REMOTE_ADDR": "2001:db8::2"}
    statuses = [Client().get("/api/v1/symbols", **here).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = Client().get("/api/v1/nothing-here", **same)
    assert (refused.status_code, code_of(refused)) == (429, "request.rate_limited")
    assert Client().get("/api/v1/symbols", **there).status_code == 200


def test_a_tier_says_what_its_users_may(ada: Trader) -> None:
    assert ORDERS_PER_SECOND > 0
    tier_of(ada, orders_per_second=0, reads_per_second=7)
    assert not ada.place().has_header("RateLimit")
    assert ada.get("/balances")["RateLimit-Policy"] == '"reads";q=70;w=10'


# --- Redis and this process count alike ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["redis", "local"])
def test_weights_and_debts_are_the_same_in_redis_and_here(symbol: Symbol, kind: str) -> None:
    guard, local = Guard(), LocalBuckets(now_ms)
    rate = Rate(per_second=1, burst=100)

    def take(name: str, weight: int) -> tuple[bool, int]:
        if kind == "redis":
            verdict = guard.check(Ticket("", name, rate, weight))
        else:
            verdict = local.take(name, rate, weight)
        return verdict.wait_ms == 0, verdict.left

    for most_left in (70, 40, 10):  # a slow machine finds a few more
        passed, left = take("a", 30)
        assert (passed, most_left <= left < most_left + 20) == (True, True)
    passed, left = take("a", 90)
    assert (passed, left >= 10) == (False, True), "a refused request takes nothing"
    assert take("b", 500) == (True, 0)
    assert not take("b", 1)[0]


# --- keys that nobody has -----------------------------------------------------------------------


@pytest.fixture
def timeless(ada: Trader) -> None:
    """No token comes back while a test runs, however slow the machine is."""
    strangers_module.strangers.buckets = LocalBuckets(lambda: 0)


def ask(trader: Trader, key: str = "", **extra: str) -> HttpResponse:
    headers = trader.headers("GET", "/api/v1/balances", b"")
    if key:
        headers["X-Takas-Key"] = key
    return Client().get("/api/v1/balances", headers=headers, **extra)


def test_bad_keys_run_out_by_network_and_then_cost_no_statement(
    timeless: None, ada: Trader
) -> None:
    codes = [code_of(ask(ada, f"{STRANGERS_KEY}-{n}")) for n in range(BAD_KEYS.burst + 5)]
    assert codes == ["auth.key_unknown"] * BAD_KEYS.burst + ["auth.too_many_attempts"] * 5
    with CaptureQueriesContext(connection) as statements:
        refused = ask(ada, f"{STRANGERS_KEY}-fresh")
    assert (refused.status_code, len(statements)) == (429, 0)
    assert int(refused["Retry-After"]) >= 1
    assert code_of(ask(ada, STRANGERS_KEY, REMOTE_ADDR="198.51.100.7")) == "auth.key_unknown"


def test_an_unknown_key_is_read_once(ada: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principals, "PRINCIPAL_AGE_MAX_S", 3_600.0)
    with CaptureQueriesContext(connection) as statements:
        assert [code_of(ask(ada, STRANGERS_KEY)) for _ in range(5)] == ["auth.key_unknown"] * 5
    assert len(statements) == 1


def test_a_key_that_was_right_stays_open_beside_strangers(timeless: None, ada: Trader) -> None:
    assert ask(ada).status_code == 200
    while ask(ada, STRANGERS_KEY).status_code == 401:
        pass
    principals.principals_forget()
    assert ada.get("/balances").status_code == 200
    bad = ada.headers("GET", "/api/v1/balances", b"")
    bad["X-Takas-Signature"] = "0" * 64
    assert Client().get("/api/v1/balances", headers=bad).status_code == 401


def test_a_revoked_key_is_a_stranger_again(timeless: None, ada: Trader) -> None:
    assert ask(ada).status_code == 200
    key_revoke(user_id=ada.user.pk, key_id=ada.key)
    assert ask(ada).status_code == 401
    while (response := ask(ada)).status_code == 401:
        pass
    assert code_of(response) == "auth.too_many_attempts"


def test_good_keys_use_nothing_up(timeless: None, ada: Trader) -> None:
    for number in range(2 * BAD_KEYS.burst):
        key, secret = api_key_create(user_id=ada.user.pk, label=str(number), can_trade=False)
        assert Trader(ada.user, ada.account_id, key.key_id, secret).get("/time").status_code == 200
        assert ask(Trader(ada.user, ada.account_id, key.key_id, secret)).status_code == 200


def test_proven_keys_are_bounded(ada: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers_module, "PROVEN_KEYS_MAX", 3)
    for number in range(5):
        strangers_module.strangers.attempt(f"key-{number}", lambda: "network", lambda: None)
    known = [number for number in range(5) if strangers_module.strangers.knows(f"key-{number}")]
    assert known == [2, 3, 4]


# --- the same request twice ---------------------------------------------------------------------


def twice(trader: Trader, method: str, path: str, body: object = None) -> list[HttpResponse]:
    """One signed request, sent twice as it is: what two in one millisecond look like."""
    data = b"" if body is None else encode(body)
    headers = trader.headers(method, f"/api/v1{path}", data)
    client = Client()
    first: Any = client.generic(method, f"/api/v1{path}", data, JSON, headers=headers)
    second: Any = client.generic(method, f"/api/v1{path}", data, JSON, headers=headers)
    return [first, second]


@pytest.mark.parametrize(
    "path", ["/balances", "/orders", "/orders/1", "/order-lists", "/prevented-matches"]
)
def test_reads_may_be_the_same(ada: Trader, path: str) -> None:
    first, second = twice(ada, "GET", path)
    assert first.status_code == second.status_code in (200, 404)


def test_the_same_placement_is_one_order(ada: Trader) -> None:
    first, second = twice(ada, "POST", "/orders", order_body())
    assert (first.status_code, second.status_code) == (201, 200)
    assert second["Idempotent-Replayed"] == "true"
    assert decoded(first)["id"] == decoded(second)["id"]
    assert Order.objects.count() == 1


def test_the_same_cancel_is_one_cancel(ada: Trader) -> None:
    order_id = decoded(ada.place())["id"]
    assert [one.status_code for one in twice(ada, "DELETE", f"/orders/{order_id}")] == [202, 202]
    assert [one.status_code for one in twice(ada, "DELETE", "/orders")] == [202, 202]


def test_what_would_do_its_work_again_is_taken_once(ada: Trader) -> None:
    order_id = decoded(ada.place())["id"]
    for method, path, body in (
        ("PATCH", f"/orders/{order_id}", {"price": "99"}),
        ("POST", "/orders/cancel-after", {"timeout_ms": 60_000}),
    ):
        first, second = twice(ada, method, path, body)
        assert first.status_code == 202
        assert (second.status_code, code_of(second)) == (401, "auth.replayed")


def test_only_those_are_taken_once() -> None:
    once = {key for key, cost in COSTS.items() if cost.is_once}
    assert once == {("PATCH", "api-order"), ("POST", "api-cancel-after"), ("POST", "api-keys")}
    assert Cost(Bucket.READS, 1).is_once is False


def test_a_reader_is_not_a_stranger(symbol: Symbol) -> None:
    reader = trader_make("reader", can_trade=False)
    assert code_of(reader.place()) == "auth.scope_missing"
    assert reader.get("/orders").status_code == 200
