"""How many pages a network, or a known user, may ask for: each is made anew, for whoever asks."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from exchange.api.admission import page_admit, rate_headers, session_settle
from exchange.api.errors import headers
from exchange.domain.errors import DomainError
from exchange.infra.http.security import API_PREFIX

FAULT: Final = 500  # from here on nobody knows what a session was


class PageRateMiddleware:
    """Stands behind the static files, which it does not count; the API counts its own."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        try:
            page_admit(request)
        except DomainError as refusal:
            status, text = refusal.http_status, refusal.detail
            told = {**headers(refusal), **rate_headers(request)}
            return HttpResponse(text, "text/plain", status, headers=told)
        response = self.get_response(request)
        if response.status_code < FAULT:
            session_settle(request)
        return response
