"""The one place that turns refusals and faults into HTTP answers: problem+json (RFC 9457)."""

import sys
from typing import Any, Final

import msgspec
import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from exchange.api.admission import rate_headers_add, refused_admit
from exchange.api.answers import Answer, response_of
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.database import DATABASE_AWAY
from exchange.infra.http.request_id import request_id
from exchange.infra.told import stranger_told

CONTENT_TYPE: Final = "application/problem+json"
API_PREFIX: Final = "/api/"
LOGGED_CHARACTERS_MAX: Final = 100
RETRY_AFTER_S: Final = 1  # default where a refusal names no time: queues drain in far less
TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected",
    422: "Refused",
    429: "Too many requests",
    431: "Head too large",
    500: "Internal error",
    503: "Unavailable",
}
AWAY_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Not available</title></head>
<body>
<h1>Not available</h1>
<p>The exchange cannot answer right now. Try again in a moment; if you sent something, look first
whether it was done.</p>
</body>
</html>
"""
_encode: Final = msgspec.json.Encoder().encode
_DRF_CODES: Final[dict[type[Exception], Code]] = {
    exceptions.ParseError: Code.REQUEST_MALFORMED,
    exceptions.NotAuthenticated: Code.AUTH_REQUIRED,
    exceptions.AuthenticationFailed: Code.AUTH_REQUIRED,
    exceptions.NotFound: Code.REQUEST_NOT_FOUND,
    Http404: Code.REQUEST_NOT_FOUND,
    SuspiciousOperation: Code.REQUEST_MALFORMED,
    exceptions.MethodNotAllowed: Code.REQUEST_METHOD_NOT_ALLOWED,
    exceptions.UnsupportedMediaType: Code.REQUEST_UNSUPPORTED_MEDIA,
}

log = structlog.get_logger(__name__)


def problem(error: DomainError, request: HttpRequest) -> dict[str, Any]:
    """Return the body of a refusal."""
    return problem_of(error, request_id(request))


def problem_of(error: DomainError, instance: str) -> dict[str, Any]:
    """Return the body of a refusal; `instance` is the id of the refused request."""
    status, detail, code = error.http_status, error.detail, error.code.value
    body: dict[str, Any] = {
        "type": f"/errors/{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "params": error.params,
        "errors": [],
    }
    if error.field is not None:
        body["errors"] = [{"field": error.field, "code": code, "detail": detail}]
    return body


def headers(error: DomainError) -> dict[str, str]:
    """Return the headers of a refusal: when to retry, or how to authenticate."""
    if error.http_status in (429, 503):
        return {"Retry-After": str(error.params.get("retry_after_s", RETRY_AFTER_S))}
    if error.http_status == 401:
        return {"WWW-Authenticate": "Takas"}
    return {}


def problem_answer(error: DomainError, request: HttpRequest) -> Answer:
    """Return the answer that refuses a request."""
    body = _encode(problem(error, request))
    return Answer(error.http_status, body, CONTENT_TYPE, headers(error))


def problem_response(error: DomainError, request: HttpRequest) -> HttpResponse:
    """Return the same as Django's response."""
    return response_of(problem_answer(error, request))


def failed(error: Exception, request: HttpRequest) -> Answer:
    """Return the answer in the documented shape for an error that a view raised."""
    if isinstance(error, DomainError):
        return problem_answer(error, request)
    if isinstance(error, SuspiciousOperation):
        return problem_answer(DomainError(Code.REQUEST_MALFORMED), request)
    if isinstance(error, DATABASE_AWAY):
        return problem_answer(_database_away(error, request), request)
    log.error("api.fault", path=request.path, exc_info=error)
    return problem_answer(DomainError(Code.INTERNAL_ERROR), request)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer an error of a DRF view; this is its EXCEPTION_HANDLER."""
    request: HttpRequest = context["request"]._request
    if isinstance(error, DATABASE_AWAY):
        error = _database_away(error, request)
    refusal = error if isinstance(error, DomainError) else _drf_refusal(error)
    if refusal.code is Code.INTERNAL_ERROR:
        log.error("api.fault", path=request.path, exc_info=error)
    extra = headers(refusal)
    if isinstance(error, exceptions.MethodNotAllowed):
        extra["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(
        problem(refusal, request),
        status=refusal.http_status,
        headers=extra,
        content_type=CONTENT_TYPE,
    )


def _database_away(error: Exception, request: HttpRequest) -> DomainError:
    """Return the refusal for a lost Postgres: clients may repeat reads, but must check writes."""
    log.warning("api.database_away", path=request.path, error=str(error))
    is_reader = request.method in ("GET", "HEAD", "OPTIONS")
    return DomainError(Code.ENGINE_UNAVAILABLE if is_reader else Code.ENGINE_OUTCOME_UNKNOWN)


def _drf_refusal(error: Exception) -> DomainError:
    for kind, code in _DRF_CODES.items():
        if isinstance(error, kind):
            return DomainError(code)
    if isinstance(error, exceptions.PermissionDenied | PermissionDenied):
        return DomainError(Code.AUTH_REQUIRED)
    return DomainError(Code.INTERNAL_ERROR)


# Django's own error handlers (config/urls.py): the API's paths get problems, pages get pages.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that Django could not read; log one short line: strangers can cause many."""
    path = request.path_info[:LOGGED_CHARACTERS_MAX]
    stranger_told("http.bad_request", kind=type(exception).__name__, path=path)
    if request.path_info.startswith(API_PREFIX):
        return problem_response(DomainError(Code.REQUEST_MALFORMED), request)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request for which PermissionDenied was raised."""
    if request.path_info.startswith(API_PREFIX):
        return problem_response(DomainError(Code.AUTH_REQUIRED), request)
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer a request to an address that does not exist."""
    if request.path_info.startswith(API_PREFIX):
        return problem_response(DomainError(Code.REQUEST_NOT_FOUND), request)
    return defaults.page_not_found(request, exception or Http404())


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer an error of a view or a middleware; a lost Postgres is no fault, so no traceback."""
    error = sys.exc_info()[1]
    if isinstance(error, DATABASE_AWAY):
        return _away_answer(_database_away(error, request), request)
    if request.path_info.startswith(API_PREFIX):
        return problem_response(DomainError(Code.INTERNAL_ERROR), request)
    return defaults.server_error(request)


def _away_answer(refusal: DomainError, request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith(API_PREFIX):
        response = problem_response(refusal, request)
    else:  # a fixed page: a template could need Postgres again
        response = HttpResponse(AWAY_PAGE, status=refusal.http_status, headers=headers(refusal))
    response.headers["Cache-Control"] = "no-store"
    # Django logs a traceback for each answer from 500 on, unless the answer is marked as logged.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a request that failed the CSRF check (settings.CSRF_FAILURE_VIEW)."""
    if request.path_info.startswith(API_PREFIX):
        return _csrf_problem(request)
    from django.views.csrf import csrf_failure as page

    return page(request, reason=reason)


def _csrf_problem(request: HttpRequest) -> HttpResponse:
    try:
        refused_admit(request)
        refusal = DomainError(Code.AUTH_CSRF)
    except DomainError as too_many:
        refusal = too_many
    response = problem_response(refusal, request)
    rate_headers_add(request, response)
    return response
