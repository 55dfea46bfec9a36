"""Every request has an id: in the response, in the logs, in a problem's `instance`."""

import itertools
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars, reset_contextvars

from exchange.infra.http.middleware import Middleware

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = "takas.request_id"  # where it stands in a request's META
# A proxy's id is taken over if it is plain; anything else could forge log lines.
ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
# Random once per process, counted after that: unique without asking the kernel each time.
_PROCESS: Final = secrets.token_hex(6)
_next: Final = itertools.count(1).__next__
# The request that is being answered, for the record of who did what from where. A command or a
# task answers none.
current_request: Final[ContextVar[HttpRequest | None]] = ContextVar("current_request", default=None)


def request_id_choose(given: str | None) -> str:
    """The given id if it may be taken over, else a new one."""
    return given if given and ACCEPTABLE(given) else f"{_PROCESS}-{_next():x}"


def request_id(request: HttpRequest) -> str:
    """Return the id the middleware gave to the request."""
    return str(request.META[REQUEST_ID])


@contextmanager
def request_named(request: HttpRequest) -> Iterator[str]:
    """Give the request its id and let the log and the record of acts know both within this.

    Threads outlive requests: the next one does not inherit them.
    """
    chosen = request_id_choose(request.META.get("HTTP_X_REQUEST_ID"))
    request.META[REQUEST_ID] = chosen
    tokens = bind_contextvars(request_id=chosen)
    current = current_request.set(request)
    try:
        yield chosen
    finally:
        reset_contextvars(**tokens)
        current_request.reset(current)


class RequestIdMiddleware(Middleware):
    """Outermost: what follows can rely on the id."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with request_named(request) as chosen:
            response = self.get_response(request)
        response.headers[HEADER] = chosen
        return response
