"""Static files: what the event loop answers is what a thread would send, and takes no thread."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.handlers.wsgi import WSGIHandler

from exchange.web.door import Door
from exchange.web.static_files import StaticFiles
from tests.factories.door import scope_of

FILE = "/static/takas/trade.js"
ID = {"X-Request-Id": "the-same-on-both"}


def answers(method: str, path: str, headers: dict[str, str]) -> tuple[list[Any], list[Any]]:
    """The messages of a thread and of the loop, whose door would fail if it took a thread."""
    ways = Door(WSGIHandler(), threads=1), Door(no_thread, threads=1, static=StaticFiles())
    return tuple(asyncio.run(_sent(door, method, path, ID | headers)) for door in ways)  # type: ignore[return-value]


def no_thread(environ: dict[str, Any], start: Any) -> Any:
    raise AssertionError(f"a thread for {environ['PATH_INFO']}")


async def _sent(door: Door, method: str, path: str, headers: dict[str, str]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await door(scope_of(method, urlsplit(path).path, b"", "", headers), receive, send)
    sent[0]["headers"].sort()
    return sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"Accept-Encoding": "gzip, br"}),
        (200, {"If-None-Match": '"another"'}),
        (304, {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
        (400, {"Host": "evil.example"}),
    ],
)
def test_the_loop_answers_a_static_file_as_a_thread_does(
    settings: Any, method: str, status: int, headers: dict[str, str]
) -> None:
    settings.WHITENOISE_AUTOREFRESH = False
    thread, loop = answers(method, FILE, headers)
    assert loop[0]["status"] == status
    assert loop == thread
    assert (loop[1]["type"] == "http.response.pathsend") == (method == "GET" and status == 200)


def test_plain_http_for_a_static_file_is_sent_to_tls(settings: Any) -> None:
    settings.WHITENOISE_AUTOREFRESH = False
    settings.SECURE_SSL_REDIRECT = True
    thread, loop = answers("GET", FILE, {})
    assert loop[0]["status"] == 301
    assert loop == thread


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/static/nothing", {}),
        ("GET", FILE, {"Range": "bytes=0-9"}),
        ("POST", FILE, {}),
        ("GET", "/login", {}),
    ],
)
def test_all_else_is_left_to_a_thread(
    settings: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    settings.WHITENOISE_AUTOREFRESH = False
    _, loop = answers(method, path, headers)
    assert loop[0]["status"] == 500, "no_thread was called"


def test_where_files_may_change_a_thread_looks_for_them(settings: Any) -> None:
    settings.WHITENOISE_AUTOREFRESH = True
    _, loop = answers("GET", FILE, {})
    assert loop[0]["status"] == 500, "no_thread was called"
