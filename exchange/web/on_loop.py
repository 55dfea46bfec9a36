"""What programs send most is answered on the event loop itself: no thread waits for its commit.

The same middlewares look at a request as on the short way (exchange/infra/http/shortcut.py), the
same services answer it, and it is refused in the same words: tests send everything to both.
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
        with request_named(request) as chosen:
            response: HttpResponseBase = self._gate(request)
            if response.status_code == 200:  # nobody objects: the view answers under these headers
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
