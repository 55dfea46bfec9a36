"""The strict content security policy, and where the page's WebSocket is."""

from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from exchange.infra.http.middleware import Middleware

PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'{socket}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; object-src 'none'; manifest-src 'self'"
)
API_PREFIX: Final = "/api/v1/"
# An answer of the API is data: nothing in it may run, be framed, or be kept by anybody between.
API_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": PERMISSIONS,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def api_headers_add(response: HttpResponseBase) -> None:
    """Add what every answer of the API carries, whichever way it took; a view's own words stay."""
    for name, value in API_HEADERS.items():
        response.headers.setdefault(name, value)


def websocket_url(request: HttpRequest) -> str:
    """Return where the page opens its WebSocket; empty: `/ws` on the page's own origin.

    `{host}` in WS_URL stands for the host name the page was asked for, because a session cookie
    does not go from `localhost` to `127.0.0.1`.
    """
    host = request.get_host()
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return str(settings.WS_URL).replace("{host}", name)


class ContentSecurityPolicyMiddleware(Middleware):
    """Adds the policy to every response of the long way: nothing inline, nothing from elsewhere."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith(API_PREFIX):
            api_headers_add(response)
            return response
        response.headers.setdefault("Content-Security-Policy", self._policy(request))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response

    def _policy(self, request: HttpRequest) -> str:
        if not settings.WS_URL:
            return POLICY.format(socket="")
        parts = urlsplit(websocket_url(request))
        return POLICY.format(socket=f" {parts.scheme}://{parts.netloc}")
