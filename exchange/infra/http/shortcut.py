"""The short way to the API, for programs; a request that may be a browser's takes the long way.

The session, CSRF, message and instrumentation middlewares cost more than placing an order does. A
request to the API skips them when no cookie could authenticate it:

- it carries `X-Takas-Key`: the signature alone counts, and this module drops its cookies, or
- it has no Cookie header at all.

On the short way there is no `request.user` and no `request.session`, so a view cannot authenticate
by session. A request with cookies and without a key takes the long way, with CSRF checks.
Redirects to TLS and the headers of answers are the same on both (tests compare them).
"""

import time
from collections.abc import Callable
from typing import Any, Final, cast

from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware

from exchange.infra.http.security import API_PREFIX, api_headers_add
from exchange.infra.metrics import API_SECONDS

_METHODS: Final = ("GET", "POST", "DELETE", "PATCH", "PUT")
_observers: Final = {
    (method, status): API_SECONDS.labels(method, f"{status}xx").observe
    for method in _METHODS
    for status in (2, 3, 4, 5)
}


class _ViewOnly(BaseHandler):
    """Django's handler from a request to its view, without any middleware."""

    def __init__(self) -> None:
        super().__init__()
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []

    def respond(self, request: HttpRequest) -> HttpResponseBase:
        # A private method of Django; tests/architecture/test_middlewares.py would notice a change.
        response: HttpResponseBase = self._get_response(request)  # type: ignore[attr-defined]
        return response


def takes_short_way(request: HttpRequest) -> bool:
    """Return whether no cookie can matter for this request."""
    meta = request.META
    return request.path_info.startswith(API_PREFIX) and (
        "HTTP_X_TAKAS_KEY" in meta or not meta.get("HTTP_COOKIE")
    )


class ShortcutMiddleware:
    """Sends each request on its way; stands before the middlewares that the short way skips."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.long_way = get_response
        view = convert_exception_to_response(_ViewOnly().respond)
        self.short_way = SecurityMiddleware(cast(Callable[[HttpRequest], HttpResponse], view))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not takes_short_way(request):
            return self.long_way(request)
        started = time.perf_counter()
        request.META.pop("HTTP_COOKIE", None)
        response = cast(HttpResponseBase, self.short_way(request))
        api_headers_add(response)
        headers = response.headers
        if isinstance(response, HttpResponse) and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(response.content))
        answer_observe(request, response.status_code, started)
        return response


def answer_observe(request: HttpRequest, status: int, started: float) -> None:
    """Count an answer and the time since `started` (by time.perf_counter)."""
    observe = _observers.get((request.method or "", status // 100))
    if observe is not None:
        observe(time.perf_counter() - started)
