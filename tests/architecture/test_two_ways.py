"""The two ways into web: an answer has the same protection on both, with production settings."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import URLPattern, get_resolver

from config.resources import RESOURCES
from config.settings import prod
from exchange.domain.codes import Code
from tests.factories.door import DoorClient, door
from tests.factories.trading import JSON

pytestmark = pytest.mark.django_db

PROTECTION = (
    "Strict-Transport-Security", "X-Content-Type-Options", "Referrer-Policy",
    "Cross-Origin-Opener-Policy", "Content-Security-Policy", "Permissions-Policy",
    "X-Frame-Options", "Cache-Control",
)  # fmt: skip
PATHS = ("/api/v1/time", "/api/v1/orders", "/api/v1/balances", "/api/v1/keys", "/api/v1/nothing")


@contextmanager
def production_settings(**changes: Any) -> Iterator[None]:
    prefixes = ("SECURE_", "SESSION_COOKIE_", "CSRF_COOKIE_", "X_FRAME")
    names = [name for name in dir(prod) if name.startswith(prefixes)]
    with override_settings(**{name: getattr(prod, name) for name in names} | changes):
        door.cache_clear()  # middlewares read their settings when they are made
        yield
    door.cache_clear()


@pytest.fixture
def production() -> Iterator[None]:
    with production_settings():
        yield


def both(path: str, **options: Any) -> tuple[Any, Any]:
    """The answers of the short way and of the long one: a cookie makes the difference."""
    short, long = Client(), Client()
    long.cookies["theme"] = "dark"
    return short.get(path, **options), long.get(path, **options)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("path", PATHS)
def test_answers_carry_the_same_protection_on_both_ways(path: str) -> None:
    short, long = both(path, secure=True)
    assert short.status_code == long.status_code
    for name in PROTECTION:
        assert short.headers.get(name), name
        assert short.headers[name] == long.headers.get(name), name
    assert short.headers["Cache-Control"] == "no-store"


SIGNED = {"X-Takas-Key": f"tk_{'a' * 22}", "X-Takas-Signature": "0" * 64}
ON_LOOP = [
    (method, "/api/v1/" + re.sub("<[^>]+>", "1", resource.path))
    for resource in RESOURCES
    for method in resource.views
]


def on_both(method: str, path: str, **headers: str) -> tuple[Any, Any]:
    """The answers of a thread and of the event loop to a key that nobody has."""
    stamp = {"X-Takas-Timestamp": str(time.time_ns() // 1_000_000)}
    given = {**SIGNED, **stamp, **headers}
    return (
        Client().generic(method, path, b"", JSON, headers=given),
        DoorClient().generic(method, path, b"", JSON, headers=given),
    )


@pytest.mark.parametrize(("method", "path"), ON_LOOP)
def test_what_the_loop_answers_carries_what_a_thread_would_send(method: str, path: str) -> None:
    with production_settings(SECURE_SSL_REDIRECT=False):
        # An id of ours is counted up: one more digit would make the other body longer.
        thread, loop = on_both(method, path, **{"X-Request-Id": "the-same-on-both"})
    assert thread.status_code == loop.status_code in (200, 400, 401)
    given, own = (
        {name.lower(): value for name, value in answer.headers.items()} for answer in (thread, loop)
    )
    left = given.pop("ratelimit", None), own.pop("ratelimit", None)  # each request takes from it
    assert [text is None for text in left] in ([True, True], [False, False])
    assert given == own


@pytest.mark.parametrize(("method", "path"), ON_LOOP)
def test_the_loop_refuses_hosts_and_sends_to_tls_as_a_thread_does(method: str, path: str) -> None:
    thread, loop = on_both(method, path, Host="evil.example")
    assert thread.status_code == loop.status_code == 400
    assert thread.json()["code"] == json.loads(loop.content)["code"] == Code.REQUEST_HOST_UNKNOWN
    with production_settings():
        thread, loop = on_both(method, path)
    assert thread.status_code == loop.status_code == 301
    assert thread.headers["Location"] == loop.headers["location"]


@pytest.mark.usefixtures("production")
def test_plain_http_is_sent_to_tls_on_both_ways() -> None:
    for answer in both("/api/v1/time?x=1"):
        assert answer.status_code == 301
        assert answer.headers["Location"] == "https://testserver/api/v1/time?x=1"


@pytest.mark.parametrize("path", ["/api/v1/time", "/login", "/api/schema", "/static/x.css", "/"])
def test_a_host_that_is_not_ours_is_one_line_and_a_refusal(
    path: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for host in ("evil.example", "localhost@evil.example", "a b", ""):
        for answer in both(path, headers={"Host": host}):
            assert answer.status_code == 400
            assert answer.json()["code"] == Code.REQUEST_HOST_UNKNOWN
    lines = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(lines) == 8
    assert all(record.exc_info is None for record in lines)


def api_paths() -> list[str]:
    """Every address of the API, with something in place of its parameters."""
    found = []

    def walk(patterns: Any, prefix: str) -> None:
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                found.append(prefix + str(pattern.pattern))
            else:
                walk(pattern.url_patterns, prefix + str(pattern.pattern))

    walk(get_resolver().url_patterns, "/")
    plain = [path.split("<")[0] + ("1" if "<" in path else "") for path in found]
    return sorted({path for path in plain if path.startswith("/api/v1/") and "^" not in path})


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "nonsense", "*/*;q=0"])
def test_whatever_is_accepted_the_api_answers_in_json(accept: str) -> None:
    paths = api_paths()
    assert len(paths) > 10
    for path in paths:
        for method in ("get", "post", "delete"):
            answer = getattr(Client(), method)(path, headers={"Accept": accept})
            assert answer.status_code < 500, path
            assert answer.headers["Content-Type"].endswith("json"), path
