"""Middlewares of the two ways into web (docs/adr/0003): cheap for programs, checked for pages."""

import json
import re
from collections.abc import Iterator

import pytest
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path

from exchange.infra.http.request_id import request_id
from exchange.infra.http.security import websocket_url
from exchange.infra.http.shortcut import takes_short_way
from exchange.infra.logging import bound, configure


def echo(request: HttpRequest) -> HttpResponse:
    """What a view sees of who is asking."""
    return JsonResponse(
        {
            "cookies": sorted(request.COOKIES),
            "session": hasattr(request, "session"),
            "user": hasattr(request, "user"),
            "request_id": request_id(request),
            "logged_as": structlog.contextvars.get_contextvars().get("request_id"),
        }
    )


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug in a view")


urlpatterns = [path("api/v1/echo", echo), path("page", echo), path("api/v1/broken", broken)]


@pytest.fixture(autouse=True)
def own_urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.fixture
def strict() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_signed_request_is_seen_without_its_cookies(strict: Client) -> None:
    strict.cookies["sessionid"] = "stolen"
    body = strict.post("/api/v1/echo", headers={"X-Takas-Key": "k"}).json()
    assert body["cookies"] == []
    assert body["session"] is False
    assert body["user"] is False


def test_a_request_without_cookies_takes_the_short_way(strict: Client) -> None:
    response = strict.post("/api/v1/echo")
    assert response.status_code == 200
    assert response.json()["session"] is False
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Length"] == str(len(response.content))


@pytest.mark.parametrize("cookie", ["sessionid", "anything"])
def test_a_write_with_cookies_needs_a_csrf_token(strict: Client, cookie: str) -> None:
    strict.cookies[cookie] = "x" * 32
    assert strict.post("/api/v1/echo").status_code == 403


@pytest.mark.django_db
def test_a_read_with_cookies_has_a_session(strict: Client) -> None:
    strict.cookies["sessionid"] = "x" * 32
    assert strict.get("/api/v1/echo").json()["session"] is True


def test_a_page_never_takes_the_short_way(strict: Client) -> None:
    assert strict.post("/page", headers={"X-Takas-Key": "k"}).status_code == 403
    request = RequestFactory().get("/page", headers={"X-Takas-Key": "k"})
    assert not takes_short_way(request)


def test_a_bug_on_the_short_way_is_a_500_and_the_next_request_is_well(strict: Client) -> None:
    strict.raise_request_exception = False
    response = strict.get("/api/v1/broken")
    assert response.status_code == 500
    assert response.headers["X-Request-Id"]
    assert strict.get("/api/v1/echo").status_code == 200


def test_every_request_has_an_id_in_answer_view_and_logs(strict: Client) -> None:
    first, second = strict.get("/api/v1/echo"), strict.get("/api/v1/echo")
    body = first.json()
    assert first.headers["X-Request-Id"] == body["request_id"] == body["logged_as"]
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert "request_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("proxy-1234.abc", True), ("short", False), ('x"}\n{"level":"forged', False)],
)
def test_a_given_id_is_kept_only_if_it_is_plain(strict: Client, given: str, kept: bool) -> None:
    answered = strict.get("/api/v1/echo", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is kept


@pytest.mark.django_db
def test_pages_carry_a_policy_that_allows_nothing_inline(strict: Client) -> None:
    response = strict.get("/page")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|\*|http:", policy)
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_the_policy_lets_the_page_reach_its_own_socket(strict: Client) -> None:
    with override_settings(WS_URL="ws://{host}:8001/ws"):
        policy = strict.get("/page", headers={"Host": "localhost:8000"}).headers
        request = RequestFactory().get("/page", headers={"Host": "localhost:8000"})
        assert websocket_url(request) == "ws://localhost:8001/ws"
    assert "connect-src 'self' ws://localhost:8001;" in policy["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize("probe", ["/livez", "/readyz"])
def test_probes_answer_whatever_the_host_name(strict: Client, probe: str) -> None:
    response = strict.get(probe, headers={"Host": "10.1.2.3"})
    assert response.status_code == 200
    assert response.json()["role"] == "web"


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Logging goes where it went, once the captured output is closed."""
    yield
    configure(settings.LOGGING)


@pytest.mark.usefixtures("logging_restored")
def test_logs_are_json_lines_with_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure({**settings.LOGGING, "format": "json", "level": "INFO"})
    with bound(order_id=7, symbol="BTC-USDT"):
        structlog.get_logger("test").info("order.accepted", sequence=12)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["event"] == "order.accepted"
    assert (line["order_id"], line["symbol"], line["sequence"]) == (7, "BTC-USDT", 12)
    assert line["level"] == "info"
    assert line["time"].endswith("Z")
