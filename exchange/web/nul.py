"""No NUL in what pages are asked for or sent: Postgres knows no such text, and would raise."""

from collections.abc import Callable
from typing import Final

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase

from exchange.api.errors import bad_request
from exchange.infra.http.security import API_PREFIX

NUL: Final = "\x00"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


class TextMiddleware:
    """Answers 400 to a NUL in path, query or form. The API checks its own (exchange/api)."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        query = request.META.get("QUERY_STRING", "")
        if NUL in request.path_info or "%00" in query or NUL in query or _in_form(request):
            return bad_request(request, BadRequest())
        return self.get_response(request)


def _in_form(request: HttpRequest) -> bool:
    if request.method != "POST" or request.content_type not in _FORMS:
        return False
    fields = request.POST.lists()
    return any(NUL in name or any(NUL in value for value in values) for name, values in fields)
