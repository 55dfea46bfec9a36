"""Every request has an id: in the response, in the logs, in a problem's `instance`."""

import itertools
import re
import secrets
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars, reset_contextvars

from exchange.infra.http.current import current_request

HEADER: Final = "X-Request-Id"
# A proxy's id is taken over if it is plain; anything else could forge log lines.
ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
# Random once per process, counted after that: unique without asking the kernel each time.
_PROCESS: Final = secrets.token_hex(6)
_next: Final = itertools.count(1).__next__


def request_id_choose(given: str | None) -> str:
    """The given id if it may be taken over, else a new one."""
    return given if given and ACCEPTABLE(given) else f"{_PROCESS}-{_next():x}"


def request_id(request: HttpRequest) -> str:
    """Return the id the middleware gave to the request."""
    return str(request.META["takas.request_id"])


class RequestIdMiddleware:
    """Outermost: what follows can rely on the id."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        chosen = request_id_choose(request.META.get("HTTP_X_REQUEST_ID"))
        request.META["takas.request_id"] = chosen
        tokens = bind_contextvars(request_id=chosen)
        current = current_request.set(request)
        try:
            response = self.get_response(request)
        finally:
            # Threads outlive requests: the next one must not inherit this id.
            reset_contextvars(**tokens)
            current_request.reset(current)
        response.headers[HEADER] = chosen
        return response
