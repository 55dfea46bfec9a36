"""Unauthenticated requests: counted by network before anything is looked up."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from exchange.api import admission
from exchange.api import strangers as strangers_module
from exchange.api.admission import BURST_SECONDS
from exchange.api.routes import Bucket
from exchange.api.strangers import BAD_KEYS
from exchange.infra.buckets import LocalBuckets
from exchange.infra.redis import redis_client
from exchange.models import User
from exchange.signin import known
from exchange.signin.known import KnownSessions, known_sessions
from tests.factories.trading import Trader
from tests.services.test_public_costs import public_paths

Send = Callable[[str, str], Any]
HERE, THERE = "203.0.113.7", "203.0.113.8"
TOKENS = BURST_SECONDS[Bucket.PUBLIC]  # at 1 a second
UNCOUNTED = ("/static/", "/livez", "/readyz")


@pytest.fixture(autouse=True)
def timeless(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks have few tokens, and none comes back."""
    settings.PUBLIC_WEIGHT_PER_SECOND = 1
    monkeypatch.setattr(admission, "public_buckets", LocalBuckets(lambda: 0))
    strangers_module.strangers.buckets = LocalBuckets(lambda: 0)


def bogus() -> str:
    return secrets.token_hex(16)


def without(method: str, path: str) -> Any:
    return Client(REMOTE_ADDR=HERE).generic(method, path)


def bogus_session(method: str, path: str) -> Any:
    cookie = f"sessionid={bogus()}"
    return Client(REMOTE_ADDR=HERE).generic(method, path, headers={"Cookie": cookie})


def bad_csrf(method: str, path: str) -> Any:
    cookie = f"sessionid={bogus()}; csrftoken={bogus()}"
    client = Client(REMOTE_ADDR=HERE, enforce_csrf_checks=True)
    return client.generic(method, path, headers={"Cookie": cookie})


def bad_parameters(method: str, path: str) -> Any:
    return bogus_session(method, f"{path}?what=1")


def keyless_name(method: str, path: str) -> Any:
    """A key that nobody has, and parameters that nobody takes."""
    headers = {"X-Takas-Key": f"tk_{bogus()}"}
    return Client(REMOTE_ADDR=HERE).generic(method, f"{path}?what=1", headers=headers)


def lookups() -> int:
    stats: dict[str, Any] = redis_client().info("commandstats")
    names = ("get", "mget", "set", "eval", "evalsha")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


def exhaust(send: Send, method: str, path: str) -> HttpResponse:
    answers: list[HttpResponse] = []
    for _ in range(TOKENS + 1):
        answers.append(send(method, path))
        if answers[-1].status_code == 429:
            return answers[-1]
    raise AssertionError(f"{method} {path} is never too much: {answers[-1].status_code}")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("send", [without, bogus_session, bad_csrf, bad_parameters, keyless_name])
def test_every_address_runs_out_and_then_costs_nothing(
    send: Send, method: str, ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path for path in public_paths() if not path.startswith(UNCOUNTED)]
    assert len(paths) > 100
    for path in paths:
        monkeypatch.setattr(admission, "public_buckets", LocalBuckets(lambda: 0))
        refused = exhaust(send, method, path.partition("?")[0])
        assert int(refused["Retry-After"]) >= 1, path
        assert refused["RateLimit-Policy"] == f'"public";q={TOKENS};w={TOKENS}', path
        before = lookups()
        with CaptureQueriesContext(connection) as statements:
            again = send(method, path.partition("?")[0])
        assert (again.status_code, len(statements), lookups() - before) == (429, 0, 0), path
    assert Client(REMOTE_ADDR=THERE).get("/api/v1/balances").status_code == 401
    assert Client(REMOTE_ADDR=THERE).get("/login").status_code == 200
    key_from_here = Client().get
    signed = ada.headers("GET", "/api/v1/balances", b"")
    assert key_from_here("/api/v1/balances", headers=signed, REMOTE_ADDR=HERE).status_code == 200


def test_words_that_no_key_has_run_out(ada: Trader) -> None:
    stale = {**ada.headers("GET", "/api/v1/balances", b""), "X-Takas-Timestamp": "1"}
    ask = Client(REMOTE_ADDR=HERE).get
    codes = [ask("/api/v1/balances", headers=stale).status_code for _ in range(BAD_KEYS.burst + 1)]
    assert codes == [401] * BAD_KEYS.burst + [429]


def signed_in(trader: Trader) -> Client:
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(trader.user)
    return client


def exhaust_all() -> None:
    exhaust(bogus_session, "GET", "/api/v1/balances")
    exhaust(bogus_session, "GET", "/keys")


@pytest.mark.parametrize("first", ["/api/v1/balances", "/api/v1/keys", "/keys"])
def test_who_was_signed_in_lately_stays_in_beside_strangers(ada: Trader, first: str) -> None:
    client = signed_in(ada)
    assert client.get(first).status_code == 200
    exhaust_all()
    for path in ("/api/v1/balances", "/api/v1/keys", "/api/v1/symbols", "/keys", "/"):
        assert client.get(path).status_code in (200, 302), path
    assert client.get("/keys").status_code == 200


def test_sessions_that_are_right_use_nothing_of_their_network_up(ada: Trader) -> None:
    for _ in range(TOKENS):
        assert signed_in(ada).get("/api/v1/balances").status_code == 200
        assert signed_in(ada).get("/api/v1/keys").status_code == 200
        assert signed_in(ada).get("/keys").status_code == 200


def test_a_known_users_pages_and_public_reads_run_out_by_user(ada: Trader, boris: Trader) -> None:
    client, other = signed_in(ada), signed_in(boris)
    for one in (client, other):
        assert one.get("/keys").status_code == 200
    for path in ("/keys", "/api/v1/symbols"):
        statuses = [client.get(path).status_code for _ in range(TOKENS // 2 + 1)]
        assert statuses == [200] * (TOKENS // 2) + [429]
        assert other.get(path).status_code == 200


def test_a_known_session_runs_out_of_bad_csrf(ada: Trader) -> None:
    client = Client(REMOTE_ADDR=HERE, enforce_csrf_checks=True)
    client.force_login(ada.user)
    assert client.get("/api/v1/balances").status_code == 200
    statuses = [client.delete("/api/v1/orders").status_code for _ in range(TOKENS + 1)]
    assert statuses == [403] * TOKENS + [429]
    assert client.get("/api/v1/balances").status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/balances", "/keys"])
def test_a_session_that_ended_is_a_strangers_again(ada: Trader, path: str) -> None:
    client = signed_in(ada)
    key = client.cookies["sessionid"].value
    assert client.get(path).status_code == 200
    Session.objects.filter(session_key=key).delete()
    redis_client().flushall()

    def send(method: str, path: str) -> Any:
        headers = {"Cookie": f"sessionid={key}"}
        return Client(REMOTE_ADDR=HERE).generic(method, path, headers=headers)

    exhaust(send, "GET", path)
    with CaptureQueriesContext(connection) as statements:
        assert send("GET", path).status_code == 429
    assert len(statements) == 0


def test_an_inactive_user_is_a_stranger(ada: Trader) -> None:
    client = signed_in(ada)
    User.objects.filter(pk=ada.user.pk).update(is_active=False)
    exhaust(lambda method, path: client.generic(method, path), "GET", "/keys")


def test_signing_in_pays_for_its_page(ada: Trader) -> None:
    ada.user.set_password("right")
    ada.user.save()

    def send(method: str, path: str) -> Any:
        values = {"username": ada.user.username, "password": "right"}
        return Client(REMOTE_ADDR=HERE).post(path, values)

    exhaust(send, "POST", "/login")


def request_with(session: str) -> HttpRequest:
    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = session
    return request


def test_known_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "KNOWN_SESSIONS_MAX", 3)
    sessions = KnownSessions()
    for number in range(5):
        sessions.keep(f"session-{number}", number)
    kept = [sessions.user_of(request_with(f"session-{number}")) for number in range(5)]
    assert kept == [None, None, 2, 3, 4]
    assert known_sessions is not sessions
