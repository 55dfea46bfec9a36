"""Authentication of the API: signatures, sessions, scopes, suspended users."""

import time
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from exchange.access.principals import principals_forget
from exchange.api.keys import api_key_create
from exchange.models import ApiKey
from orders.markets.suspensions import user_suspend
from orders.models import Order
from tests.factories.models import UserFactory
from tests.factories.trading import JSON, Trader, decoded, encode, order_body

PATH = "/api/v1/balances"


def refused(response: HttpResponse) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, decoded(response)["code"]


def signed_get(trader: Trader, **changes: str) -> HttpResponse:
    headers = {**trader.headers("GET", PATH, b""), **changes}
    return Client().get(PATH, headers=headers)


def test_without_proof_nothing_private_is_told(ada: Trader) -> None:
    response = Client().get(PATH)
    assert refused(response) == (401, "auth.required")
    assert response["WWW-Authenticate"] == "Takas"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"X-Takas-Key": "tk_nobody-has-this"}, "auth.key_unknown"),
        ({"X-Takas-Key": "' OR 1=1"}, "auth.key_unknown"),
        ({"X-Takas-Signature": "0" * 64}, "auth.signature_invalid"),
        ({"X-Takas-Signature": ""}, "auth.signature_invalid"),
        ({"X-Takas-Signature": "\u00e9" * 64}, "auth.signature_invalid"),
        ({"X-Takas-Timestamp": "0"}, "auth.timestamp_outside_window"),
        ({"X-Takas-Timestamp": ""}, "auth.timestamp_outside_window"),
        ({"X-Takas-Timestamp": "1e12"}, "auth.timestamp_outside_window"),
        ({"X-Takas-Window": "-5"}, "auth.timestamp_outside_window"),
    ],
)
def test_a_wrong_signature_names_what_is_wrong(
    ada: Trader, changes: dict[str, str], code: str
) -> None:
    assert refused(signed_get(ada, **changes)) == (401, code)


@pytest.mark.parametrize(
    ("age_ms", "window", "status"),
    [
        (0, "", 200),
        (4_000, "", 200),
        (6_000, "", 401),
        (6_000, "10000", 200),
        (59_000, "60000", 200),
        (61_000, "600000", 401),
        (-900, "", 200),
        (-2_000, "", 401),
    ],
)
def test_the_window_bounds_a_timestamp(ada: Trader, age_ms: int, window: str, status: int) -> None:
    response = ada.send("GET", "/balances", age_ms=age_ms, window=window)
    assert response.status_code == status


def test_the_signature_covers_method_path_query_and_body(ada: Trader) -> None:
    body = encode(order_body())
    headers = ada.headers("POST", "/api/v1/orders", body)
    other = Client().post("/api/v1/orders", encode(order_body()), JSON, headers=headers)
    assert refused(other) == (401, "auth.signature_invalid")
    reading = ada.headers("GET", "/api/v1/orders", b"")
    query = Client().get("/api/v1/orders?limit=5", headers=reading)
    assert refused(query) == (401, "auth.signature_invalid")
    method = Client().generic("DELETE", "/api/v1/orders", headers=reading)
    assert refused(method) == (401, "auth.signature_invalid")
    assert not Order.objects.exists()


def test_a_revoked_key_is_unknown(ada: Trader) -> None:
    assert ada.get("/balances").status_code == 200
    ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    principals_forget()
    assert refused(ada.get("/balances")) == (401, "auth.key_unknown")


def test_an_expired_key_is_unknown(ada: Trader) -> None:
    ApiKey.objects.update(expires_at="2026-01-01T00:00:00Z")
    principals_forget()
    assert refused(ada.get("/balances")) == (401, "auth.key_unknown")


def test_suspended_users_read_and_cancel_but_do_not_trade(ada: Trader) -> None:
    order_id = decoded(ada.place())["id"]
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd", cancels=False)
    assert ada.get("/balances").status_code == 200
    for response in (ada.place(), ada.amend(order_id, price="99")):
        assert refused(response) == (403, "account.suspended")
    assert ada.cancel(order_id).status_code == 202
    assert ada.send("DELETE", "/orders").status_code == 202
    assert ada.send("POST", "/orders/cancel-after", {"timeout_ms": 10_000}).status_code == 202
    assert Order.objects.count() == 1


def test_suspended_users_revoke_keys_but_make_none(ada: Trader) -> None:
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd")
    page = Client()
    page.force_login(ada.user)
    assert page.get("/api/v1/keys").status_code == 200
    made = page.post("/api/v1/keys", encode({"label": "new"}), JSON)
    assert refused(made) == (403, "account.suspended")
    assert page.delete(f"/api/v1/keys/{ada.key}").status_code == 204
    assert page.post("/logout").status_code == 302


def test_secrets_are_not_stored_in_clear(ada: Trader) -> None:
    stored = bytes(ApiKey.objects.get().secret_encrypted)
    assert ada.secret.encode() not in stored


# Who may do what. Rows: method, path, body; columns: nobody, read key, trade key, session.
MATRIX: list[tuple[str, str, Any, int, int, int, int]] = [
    ("GET", "/time", None, 200, 200, 200, 200),
    ("GET", "/symbols", None, 200, 200, 200, 200),
    ("GET", "/trades?symbol=BTC-USDT", None, 200, 200, 200, 200),
    ("GET", "/depth?symbol=BTC-USDT", None, 503, 503, 503, 503),
    ("GET", "/balances", None, 401, 200, 200, 200),
    ("GET", "/orders", None, 401, 200, 200, 200),
    ("GET", "/orders/1", None, 401, 404, 404, 404),
    ("POST", "/orders", order_body(), 401, 403, 201, 200),
    ("DELETE", "/orders", None, 401, 403, 202, 202),
    ("DELETE", "/orders/1", None, 401, 403, 404, 404),
    ("PATCH", "/orders/1", {"price": "1"}, 401, 403, 404, 404),
    ("GET", "/keys", None, 401, 403, 403, 200),
    ("POST", "/keys", {"label": "bot"}, 401, 403, 403, 201),
    ("DELETE", "/keys/none-such", None, 401, 403, 403, 404),
]


def test_permission_matrix(ada: Trader) -> None:
    key, secret = api_key_create(user_id=ada.user.pk, label="reader", can_trade=False)
    reader = Trader(ada.user, ada.account_id, key.key_id, secret)
    session = Client()
    session.force_login(ada.user)
    for method, path, body, *expected in MATRIX:
        data = b"" if body is None else encode(body)
        statuses = [
            Client().generic(method, f"/api/v1{path}", data, JSON).status_code,
            reader.send(method, path, data).status_code,
            ada.send(method, path, data).status_code,
            session.generic(method, f"/api/v1{path}", data, JSON).status_code,
        ]
        assert statuses == expected, f"{method} {path}"


def test_a_session_needs_the_csrf_token(ada: Trader) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada.user)
    for path, body in (("/orders", order_body()), ("/keys", {"label": "x"})):
        response = strict.post(f"/api/v1{path}", encode(body), JSON)
        assert response.status_code == 403
    assert not Order.objects.exists()
    assert ApiKey.objects.count() == 1


def test_a_signed_request_ignores_the_session_it_comes_with(ada: Trader, boris: Trader) -> None:
    boris.client.force_login(ada.user)
    boris.place()
    assert Order.objects.get().account_id == boris.account_id


def test_last_use_of_a_key_is_sampled(ada: Trader) -> None:
    ada.get("/balances")
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    principals_forget()
    ada.get("/balances")
    assert ApiKey.objects.get().last_used_at == first


def test_a_key_made_over_http_shows_its_secret_once_and_works(ada: Trader) -> None:
    session = Client()
    session.force_login(ada.user)
    made = session.post("/api/v1/keys", encode({"label": "bot", "scopes": ["read", "trade"]}), JSON)
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    body = decoded(made)
    listed = decoded(session.get("/api/v1/keys"))["items"]
    assert listed[0]["key"] == body["key"]
    assert "secret" not in listed[0]
    bot = Trader(ada.user, ada.account_id, body["key"], body["secret"])
    assert bot.place().status_code == 201
    assert session.delete(f"/api/v1/keys/{body['key']}").status_code == 204
    assert refused(bot.place()) == (401, "auth.key_unknown")


def test_who_has_no_account_is_told_so(symbol: object) -> None:
    staff = Client()
    staff.force_login(UserFactory.create(username="staff", is_staff=True))
    response = staff.post("/api/v1/orders", encode(order_body()), JSON)
    assert refused(response) == (403, "account.missing")
    assert "no trading account yet" in decoded(response)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "request.not_found"),
        ("GET", "/api/v1/", 404, "request.not_found"),
        ("PUT", "/api/v1/orders", 405, "request.method_not_allowed"),
        ("POST", "/api/v1/orders/1", 405, "request.method_not_allowed"),
        ("POST", "/api/v1/time", 405, "request.method_not_allowed"),
        ("POST", "/api/v1/depth", 405, "request.method_not_allowed"),
    ],
)
def test_wrong_addresses_and_methods_are_problems(
    symbol: object, method: str, path: str, status: int, code: str
) -> None:
    response = Client().generic(method, path)
    assert refused(response) == (status, code)
    if status == 405:
        assert response["Allow"]


def test_time_is_the_servers(symbol: object) -> None:
    before_ms = time.time_ns() // 1_000_000
    time_ms = decoded(Client().get("/api/v1/time"))["time_ms"]
    assert before_ms <= time_ms <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("key", ["%00", "tk_%00aaaaaaaaaa", "x" * 100])
def test_a_path_that_cannot_be_a_key_is_not_found(ada: Trader, key: str) -> None:
    client = Client()
    client.force_login(ada.user)
    response = client.delete(f"/api/v1/keys/{key}")
    assert (response.status_code, decoded(response)["code"]) == (404, "request.not_found")
