"""How many pages a network may ask for: each is made anew, for whoever asks."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from exchange.api.admission import page_admit
from exchange.api.errors import headers
from exchange.domain.errors import DomainError
from exchange.http.security import API_PREFIX


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
            return HttpResponse(text, "text/plain", status, headers=headers(refusal))
        return self.get_response(request)
