"""Answers on the event loop for the requests that programs send most: no thread waits for a commit.

Middlewares, services and refusals are those of the short way (exchange/infra/http/shortcut.py):
tests send each request both ways.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch

from exchange.infra.http.request_id import HEADER, request_named
from exchange.infra.http.security import api_headers_add
from exchange.infra.http.shortcut import answer_observe
from exchange.infra.http.wsgi import Environ, Messages, answer_of, body_put
from exchange.web.middlewares import HostMiddleware

LoopView = Callable[..., Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one route: a regular expression of its path, its Django name, and its view.

    The named groups of the expression are keyword arguments of the view.
    """

    method: str
    path: str
    name: str
    view: LoopView


@dataclass(frozen=True, slots=True)
class Found:
    """The view for a request, and Django's match with the view's arguments."""

    view: LoopView
    match: ResolverMatch


class OnLoop:
    """Answers signed requests to its routes, on the event loop."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: Mapping[str, list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            path = re.compile(route.path, re.ASCII)
            self._routes.setdefault(route.method, []).append((path, route))
        # Django's own middlewares treat the request and its answer, as on the other way.
        self._secure = SecurityMiddleware(lambda request: HttpResponse())
        self._gate = HostMiddleware(self._secured)

    def find(self, environ: Environ) -> Found | None:
        """Return the view for this request; None where a thread has to answer it."""
        if "HTTP_X_TAKAS_KEY" not in environ:
            return None
        for path, route in self._routes.get(environ["REQUEST_METHOD"], ()):
            match = path.fullmatch(environ["PATH_INFO"])
            if match is not None:
                keywords = match.groupdict()
                return Found(route.view, ResolverMatch(route.view, (), keywords, route.name))
        return None

    async def answer(self, environ: Environ, body: bytes, found: Found) -> Messages:
        """Answer a request; it runs in a task, and so in a context, of its own."""
        started = time.perf_counter()
        request = _request(environ, body, found)
        with request_named(request) as chosen:
            response: HttpResponseBase = self._gate(request)
            if response.status_code == 200:  # not refused: the view answers, with their headers
                passed, response = response, await found.view(request, **found.match.kwargs)
                for name, value in passed.headers.items():
                    response.headers.setdefault(name, value)
                answer_observe(request, response, started)
        response.headers[HEADER] = chosen
        assert isinstance(response, HttpResponse)
        return answer_of(response.status_code, response.headers.items(), response.content)

    def _secured(self, request: HttpRequest) -> HttpResponseBase:
        response = cast(HttpResponseBase, self._secure(request))
        api_headers_add(response)
        return response


def _request(environ: Environ, body: bytes, found: Found) -> WSGIRequest:
    body_put(environ, body)
    environ.pop("HTTP_COOKIE", None)
    request = WSGIRequest(environ)
    request.resolver_match = found.match
    return request
