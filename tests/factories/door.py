"""A client of the web role's door, for tests that send everything both ways.

What a route answers on the loop is answered on a loop here; the rest goes the test client's way.
"""

import asyncio
import functools
import threading
from typing import Any
from urllib.parse import urlsplit

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import Client

from config.resources import RESOURCES
from exchange.domain.errors import DomainError
from exchange.infra.http.wsgi import environ_of
from exchange.web.door import Door
from exchange.web.on_loop import OnLoop
from tests.waiting import HANG_S


@functools.cache
def door() -> tuple[Door, asyncio.AbstractEventLoop]:
    """The door of this process, and the loop that it runs on, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="door", daemon=True).start()
    return Door(WSGIHandler(), threads=4, resources=RESOURCES), loop


class DoorClient(Client):
    """A test client whose requests without cookies go through the door where the loop answers."""

    def generic(  # type: ignore[override]  # with the options that the traders use
        self,
        method: str,
        path: str,
        data: bytes = b"",
        content_type: str = "application/octet-stream",
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> HttpResponse:
        application, loop = door()
        scope = scope_of(method, path, data, content_type, headers or {})
        if self.cookies or not _is_on_loop(scope):
            return super().generic(method, path, data, content_type, headers=headers, **options)
        answering = asyncio.run_coroutine_threadsafe(_answered(application, scope, data), loop)
        return answering.result(HANG_S)


def _is_on_loop(scope: dict[str, Any]) -> bool:
    try:
        return OnLoop(RESOURCES).find(environ_of(scope)) is not None
    except DomainError:  # the door refuses such heads itself; views are tested with them too
        return False


def scope_of(
    method: str, path: str, body: bytes, content_type: str, headers: dict[str, str]
) -> dict[str, Any]:
    """The ASGI scope of a request from this host."""
    given = {"host": "testserver", **{name.lower(): value for name, value in headers.items()}}
    if body:
        given |= {"content-type": content_type, "content-length": str(len(body))}
    parts = urlsplit(path)
    return {
        "type": "http",
        "method": method,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", "40000"),
        "server": ("127.0.0.1", "8000"),
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in given.items()],
    }


async def _answered(application: Door, scope: dict[str, Any], body: bytes) -> HttpResponse:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, last = sent
    response = HttpResponse(last["body"], status=start["status"])
    for name, value in start["headers"]:
        response.headers[name.decode("latin-1")] = value.decode("latin-1")
    return response
