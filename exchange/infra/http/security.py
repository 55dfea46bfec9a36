"""Security headers of pages and of the API, and the address of the page's WebSocket."""

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
# An answer of the API is data: it may not run, be framed, or be stored by a cache.
API_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": PERMISSIONS,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def api_headers_add(response: HttpResponseBase) -> None:
    """Add the headers of every API answer, on either way; headers set by a view stay."""
    for name, value in API_HEADERS.items():
        response.headers.setdefault(name, value)


def websocket_url(request: HttpRequest) -> str:
    """Return the address of the page's WebSocket; empty: `/ws` on the page's own origin.

    `{host}` in WS_URL stands for the host name in the page's address, because browsers do not send
    a session cookie of `localhost` to `127.0.0.1`.
    """
    host = request.get_host()
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return str(settings.WS_URL).replace("{host}", name)


class ContentSecurityPolicyMiddleware(Middleware):
    """Adds the headers on the long way; pages may use no inline code and no foreign sources."""

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
