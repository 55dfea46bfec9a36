"""/livez and /readyz of `web` on its own port, for load balancers. They need no host name."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from exchange.infra import health
from exchange.web.engines import engines_check

WEB: Final = health.Health(
    "web",
    ready={**health.standard_checks(), "engine": engines_check},
    # Orders are accepted and kept without them: that is what Postgres being the truth means.
    tolerated=("redis", "engine"),
)
PATHS: Final = ("/livez", "/readyz")


class ProbesMiddleware:
    """Answers before host names are checked: a probe asks by address."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PATHS:
            return self.get_response(request)
        status, body, content_type = WEB.answer(request.path_info)
        response = HttpResponse(body, status=status, content_type=content_type)
        response.headers["Content-Length"] = str(len(body))
        return response
