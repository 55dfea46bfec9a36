"""Both ways into web give an answer the same protection, with the settings of production."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import URLPattern, get_resolver

from config.settings import prod
from exchange.domain.codes import Code

pytestmark = pytest.mark.django_db

PROTECTION = (
    "Strict-Transport-Security", "X-Content-Type-Options", "Referrer-Policy",
    "Cross-Origin-Opener-Policy", "Content-Security-Policy", "Permissions-Policy",
    "X-Frame-Options", "Cache-Control",
)  # fmt: skip
PATHS = ("/api/v1/time", "/api/v1/orders", "/api/v1/balances", "/api/v1/keys", "/api/v1/nothing")


@pytest.fixture
def production() -> Iterator[None]:
    prefixes = ("SECURE_", "SESSION_COOKIE_", "CSRF_COOKIE_", "X_FRAME")
    names = [name for name in dir(prod) if name.startswith(prefixes)]
    with override_settings(**{name: getattr(prod, name) for name in names}):
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
