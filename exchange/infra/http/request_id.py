"""Ids of requests: shown in the response, in the logs, and in a problem's `instance`."""

import itertools
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from exchange.infra.http.middleware import Middleware

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = "takas.request_id"  # the id's key in a request's META
# A proxy's id is kept if it is plain; other text could forge log lines.
ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
# A random text per process and a count: unique without asking the kernel for each request.
_PROCESS: Final = secrets.token_hex(6)
_next: Final = itertools.count(1).__next__
# The request being answered, from which security events take their actor and address. Commands and
# tasks answer none.
current_request: Final[ContextVar[HttpRequest | None]] = ContextVar("current_request", default=None)
# structlog adds the variables with its prefix to each line; setting one costs less than binding it.
_logged: Final[ContextVar[str]] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}request_id")


def request_id_choose(given: str | None) -> str:
    """Return the given id if it is acceptable, else a new one."""
    return given if given and ACCEPTABLE(given) else f"{_PROCESS}-{_next():x}"


def request_id(request: HttpRequest) -> str:
    """Return the id the middleware gave to the request."""
    return str(request.META[REQUEST_ID])


def request_name(request: HttpRequest) -> str:
    """Give the request an id; from now on log lines and security events of this task carry it."""
    chosen = _id_give(request)
    _logged.set(chosen)
    current_request.set(request)
    return chosen


@contextmanager
def request_named(request: HttpRequest) -> Iterator[str]:
    """Do the same for a block of a thread, which outlives its requests."""
    chosen = _id_give(request)
    logged, current = _logged.set(chosen), current_request.set(request)
    try:
        yield chosen
    finally:
        _logged.reset(logged)
        current_request.reset(current)


def _id_give(request: HttpRequest) -> str:
    chosen = request_id_choose(request.META.get("HTTP_X_REQUEST_ID"))
    request.META[REQUEST_ID] = chosen
    return chosen


class RequestIdMiddleware(Middleware):
    """Gives each request its id. Outermost, so that all other middlewares can rely on the id."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with request_named(request) as chosen:
            response = self.get_response(request)
        response.headers[HEADER] = chosen
        return response
