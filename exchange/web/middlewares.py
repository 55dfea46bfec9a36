"""Middlewares of `web`, in the order of config/settings/base.py.

They check the host name, answer probes, count pages, refuse NUL in texts, and refuse attempts to
sign in that have to wait.
"""

from typing import Final

from django.core.exceptions import BadRequest, DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from exchange.api.admission import page_admit, rate_headers, session_settle
from exchange.api.errors import bad_request, headers, problem_response
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import health
from exchange.infra.http.address import client_address
from exchange.infra.http.middleware import Middleware
from exchange.infra.http.security import API_PREFIX
from exchange.infra.told import stranger_told
from exchange.signin.events import sign_in_refused
from exchange.signin.hashing import HASH_AGAIN_S, places_for
from exchange.signin.rules import attempt_of
from exchange.signin.throttle import throttle
from exchange.signin.wait_page import is_sign_in, wait_answer
from exchange.web.areas import PROBES, area_served
from exchange.web.engines import engines_check

LOGGED_CHARACTERS_MAX: Final = 100
FAULT: Final = 500  # from this status on, the session may be unread
NUL: Final = "\x00"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
WEB: Final = health.Health(
    area_served().role,
    ready={**health.standard_checks(), "engine": engines_check},
    # Postgres alone is the truth: orders are accepted and kept without Redis and engines.
    tolerated=("redis", "engine"),
)


class HostMiddleware(Middleware):
    """Refuses requests for a foreign host name: one line in the log, no traceback.

    It comes before both ways of answering, so that later code always gets a host name of ours.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in PROBES:  # a probe uses the IP address as host name
            return self.get_response(request)
        try:
            request.get_host()
        except DisallowedHost:
            host = str(request.META.get("HTTP_HOST", ""))[:LOGGED_CHARACTERS_MAX]
            stranger_told("http.host_unknown", host=host)
            response = problem_response(DomainError(Code.REQUEST_HOST_UNKNOWN), request)
            response.headers["Cache-Control"] = "no-store"
            return response
        return self.get_response(request)


class ProbesMiddleware(Middleware):
    """Answers /livez and /readyz on the port of `web`, for load balancers."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:
            return self.get_response(request)
        status, body, content_type = WEB.answer(request.path_info)
        response = HttpResponse(body, status=status, content_type=content_type)
        response.headers["Content-Length"] = str(len(body))
        return response


class PageRateMiddleware(Middleware):
    """Counts pages by network or known user, because every page is rendered anew.

    It comes after the static files, which it does not count. The API counts its own requests.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        try:
            page_admit(request)
        except DomainError as refusal:
            status, text = refusal.http_status, refusal.detail
            fields = {**headers(refusal), **rate_headers(request)}
            return HttpResponse(text, "text/plain", status, headers=fields)
        response = self.get_response(request)
        if response.status_code < FAULT:
            session_settle(request)
        return response


class TextMiddleware(Middleware):
    """Answers 400 to a NUL in path, query or form: Postgres would raise, as its texts have none.

    The API checks its own requests (exchange/api).
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        query = request.META.get("QUERY_STRING", "")
        if NUL in request.path_info or "%00" in query or NUL in query or _in_form(request):
            return bad_request(request, BadRequest())
        return self.get_response(request)


class SignInMiddleware(Middleware):
    """Refuses a sign-in that has to wait, before a session, a form or a page costs anything.

    It counts nothing: the backend counts attempts (exchange/signin/backend.py).
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_sign_in(request.method, request.path_info):
            return self.get_response(request)
        name = request.POST.get("username", "")
        looked_at = throttle.look(attempt_of(name, client_address(request)))
        wait_s = looked_at.wait_s or (HASH_AGAIN_S if places_for(looked_at).are_taken else 0)
        if wait_s == 0:
            return self.get_response(request)
        sign_in_refused(request, name, wait_s)
        return wait_answer(wait_s)


def _in_form(request: HttpRequest) -> bool:
    if request.method != "POST" or request.content_type not in _FORMS:
        return False
    fields = request.POST.lists()
    return any(NUL in name or any(NUL in value for value in values) for name, values in fields)
