"""What programs send most is answered on the event loop itself: no thread waits for its commit.

The same middlewares look at a request as on the short way (exchange/infra/http/shortcut.py), the
same services answer it, and it is refused in the same words: tests send everything to both.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch
from structlog.contextvars import bind_contextvars

from exchange.infra.http.current import current_request
from exchange.infra.http.environ import Environ
from exchange.infra.http.request_id import HEADER, request_id_choose
from exchange.infra.http.security import api_headers_add
from exchange.infra.http.shortcut import answer_observe
from exchange.infra.http.wsgi import Messages
from exchange.web.host import HostMiddleware

LoopView = Callable[..., Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address: how its path is spelt, its name in Django's addresses, its view.

    The path's named groups are the view's keywords.
    """

    method: str
    path: str
    name: str
    view: LoopView


@dataclass(frozen=True, slots=True)
class Found:
    """A request's route and what its path names."""

    view: LoopView
    match: ResolverMatch


class OnLoop:
    """Answers signed requests to its routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: Mapping[str, list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            path = re.compile(route.path, re.ASCII)
            self._routes.setdefault(route.method, []).append((path, route))
        # What middlewares do to a request and to its answer is theirs, whoever answers.
        self._secure = SecurityMiddleware(lambda request: HttpResponse())
        self._gate = HostMiddleware(self._secured)

    def find(self, environ: Environ) -> Found | None:
        """Who answers this request on the loop; None: a thread does."""
        if "HTTP_X_TAKAS_KEY" not in environ:
            return None
        for path, route in self._routes.get(environ["REQUEST_METHOD"], ()):
            match = path.fullmatch(environ["PATH_INFO"])
            if match is not None:
                words = match.groupdict()
                return Found(route.view, ResolverMatch(route.view, (), words, route.name))
        return None

    async def answer(self, environ: Environ, body: bytes, found: Found) -> Messages:
        """The answer. The task that calls this is the request's own, and so is its context."""
        started = time.perf_counter()
        request = _request(environ, body, found)
        chosen = request_id_choose(environ.get("HTTP_X_REQUEST_ID"))
        request.META["takas.request_id"] = chosen
        bind_contextvars(request_id=chosen)
        current_request.set(request)
        response: HttpResponseBase = self._gate(request)
        if response.status_code == 200:  # nobody objects: the view answers under these headers
            passed, response = response, await found.view(request, **found.match.kwargs)
            for name, value in passed.headers.items():
                if name not in response.headers:
                    response.headers[name] = value
            answer_observe(request, response, started)
        response.headers[HEADER] = chosen
        return _messages(response)

    def _secured(self, request: HttpRequest) -> HttpResponseBase:
        response = cast(HttpResponseBase, self._secure(request))
        api_headers_add(response)
        return response


def _request(environ: Environ, body: bytes, found: Found) -> WSGIRequest:
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_COOKIE", None)
    request = WSGIRequest(environ)
    request.resolver_match = found.match
    return request


def _messages(response: HttpResponseBase) -> Messages:
    assert isinstance(response, HttpResponse)
    body = response.content
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
    ]
    headers.append((b"content-length", str(len(body)).encode()))
    return (
        {"type": "http.response.start", "status": response.status_code, "headers": headers},
        {"type": "http.response.body", "body": body},
    )
