"""Requests for a host name that is not ours end here: one line in the log, no traceback."""

from collections.abc import Callable
from typing import Final

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase

from exchange.api.errors import problem_response
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.web.probes import PATHS

LOGGED_CHARACTERS_MAX: Final = 100
log = structlog.get_logger(__name__)


class HostMiddleware:
    """Stands before both ways: what follows may ask for the host name and gets one of ours."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in PATHS:  # a probe asks by address
            return self.get_response(request)
        try:
            request.get_host()
        except DisallowedHost:
            host = str(request.META.get("HTTP_HOST", ""))[:LOGGED_CHARACTERS_MAX]
            log.warning("http.host_unknown", host=host)
            response = problem_response(DomainError(Code.REQUEST_HOST_UNKNOWN), request)
            response.headers["Cache-Control"] = "no-store"
            return response
        return self.get_response(request)
