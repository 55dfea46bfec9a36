"""Answers on the event loop for the requests that programs send most: no thread waits for a commit.

Middlewares, views and refusals are those of the short way (exchange/infra/http/shortcut.py): tests
send each request both ways.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch

from exchange.api.answers import Answer
from exchange.api.resources import HotView, Resource, answered
from exchange.infra.http.request import CompleteRequest
from exchange.infra.http.request_id import HEADER, request_name
from exchange.infra.http.security import API_PREFIX, api_headers_add
from exchange.infra.http.shortcut import answer_observe
from exchange.infra.http.wsgi import (
    Environ,
    Header,
    Messages,
    answer_bytes,
    headers_bytes,
)
from exchange.web.middlewares import HostMiddleware

GATES_MAX: Final = 64  # remembered answers of the middlewares; a process has few host names
_REQUEST_ID: Final = HEADER.lower().encode()
_PARAMETER: Final = re.compile(r"<str:([a-z_]+)>")

GateKey = tuple[str | None, str, str | None]


class Found(NamedTuple):
    """The view for a request, its arguments, and Django's match of its route, without them.

    All requests of a route share the match: to make one takes longer than to find it, and nobody
    asks it for more than the route's name.
    """

    view: HotView
    match: ResolverMatch
    words: Mapping[str, str] = {}


Views = Mapping[str, Found]  # by method


class OnLoop:
    """Answers requests of programs, which no cookie can authenticate, to these resources."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._fixed: dict[str, Views] = {}
        self._variable: list[tuple[re.Pattern[str], Views]] = []
        for resource in resources:
            path = API_PREFIX + resource.path
            views = {
                method: Found(view, ResolverMatch(view, (), {}, resource.name))
                for method, view in resource.views.items()
            }
            if _PARAMETER.search(path) is None:
                self._fixed[path] = views
            else:
                self._variable.append((re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", path)), views))
        # Django's own middlewares treat the request and its answer, as on the other way.
        self._secure = SecurityMiddleware(lambda request: HttpResponse())
        self._gate = HostMiddleware(self._secured)
        self._passed: dict[GateKey, tuple[Header, ...]] = {}

    def find(self, environ: Environ) -> Found | None:
        """Return the view for this request; None where a thread has to answer it."""
        if "HTTP_X_TAKAS_KEY" not in environ and environ.get("HTTP_COOKIE"):
            return None
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        views = self._fixed.get(path)
        if views is not None:
            return views.get(method)
        for pattern, views in self._variable:
            match = pattern.fullmatch(path)
            if match is not None:
                found = views.get(method)
                return found and Found(found.view, found.match, match.groupdict())
        return None

    async def answer(self, environ: Environ, body: bytes, found: Found) -> Messages:
        """Answer a request; it runs in a task, and so in a context, of its own."""
        started = time.perf_counter()
        request = CompleteRequest(environ, body, found.match)
        told = (_REQUEST_ID, request_name(request).encode("latin-1"))
        gate = self._gate_headers(request)
        if isinstance(gate, HttpResponse):
            return _whole(gate, told)
        answer = await answered(found.view, request, found.words)
        answer_observe(request, answer.status, started)
        return answer_bytes(answer.status, (*_headers(answer, gate), told), answer.body)

    def _gate_headers(self, request: HttpRequest) -> HttpResponse | tuple[Header, ...]:
        """Return the middlewares' headers for the request's answer, or their own answer.

        The key names all that they look at, but for paths: those of SECURE_REDIRECT_EXEMPT are none
        of the API's.
        """
        meta = request.META
        key = meta.get("HTTP_HOST"), meta["wsgi.url_scheme"], meta.get("HTTP_X_FORWARDED_PROTO")
        known = self._passed.get(key)
        if known is not None:
            return known
        response = self._gate(request)
        assert isinstance(response, HttpResponse)
        if response.status_code != 200:
            return response
        del response.headers["Content-Type"]
        passed = tuple(headers_bytes(response.headers.items()))
        if len(self._passed) >= GATES_MAX:  # else strange spellings would keep ours out for good
            self._passed.clear()
        self._passed[key] = passed
        return passed

    def _secured(self, request: HttpRequest) -> HttpResponseBase:
        response = cast(HttpResponseBase, self._secure(request))
        api_headers_add(response)
        return response


def _headers(answer: Answer, gate: tuple[Header, ...]) -> Iterable[Header]:
    """Return the answer's own headers and the gate's; a view's own header wins."""
    content_type = (b"content-type", answer.content_type.encode("latin-1"))
    if not answer.headers:
        return (content_type, *gate)
    own = dict(headers_bytes(answer.headers.items()))
    return (content_type, *own.items(), *(pair for pair in gate if pair[0] not in own))


def _whole(response: HttpResponse, told: Header) -> Messages:
    headers = (*headers_bytes(response.headers.items()), told)
    return answer_bytes(response.status_code, headers, response.content)
