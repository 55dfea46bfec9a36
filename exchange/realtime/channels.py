"""ASGI entry of WebSockets, with checks of each handshake's rate and Origin."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack
from django.conf import settings
from django.urls import path, re_path
from prometheus_client import Counter

from exchange.infra.http.address import network_of, socket_address
from exchange.infra.told import stranger_told
from exchange.realtime.connection_limits import slots
from exchange.realtime.consumers import SERVER_SEND, FeedConsumer

ORIGINS_REFUSED = Counter("takas_ws_origin_refused", "Handshakes refused for their Origin")
HANDSHAKES_REFUSED = Counter("takas_ws_handshakes_refused", "Handshakes beyond a network's rate")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class OriginCheck:
    """Refuses handshakes from foreign pages, as browsers send the session cookie from any page.

    A handshake without an Origin passes: it comes from a program, never from a browser.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin", b"").decode("latin1")
        host = headers.get(b"host", b"").decode("latin1")
        if not origin or origin_is_ours(origin, host):
            # Pass the server's own `send` on: the session middleware wraps it.
            await self._application({**scope, SERVER_SEND: send}, receive, send)
            return
        ORIGINS_REFUSED.inc()
        stranger_told("ws_origin_refused", origin=origin[:200], host=host[:200])
        await _refuse(receive, send)


class HandshakeCheck:
    """Bounds the handshakes of a network, because each may read a session."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        network = network_of(socket_address(scope))
        if not slots.handshake_refused(network):
            await self._application(scope, receive, send)
            return
        HANDSHAKES_REFUSED.inc()
        await _refuse(receive, send)


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket at any other address."""
    await _refuse(receive, send)


async def _refuse(receive: Receive, send: Send) -> None:
    """Answer a handshake with 403."""
    await receive()
    await send({"type": "websocket.close", "code": 4403})


def origin_is_ours(origin: str, host: str) -> bool:
    """Return whether the origin has the requested host's name, on any port, or is a trusted one."""
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"//{host}")
        return (
            theirs.scheme in ("http", "https")
            and bool(theirs.hostname)
            and theirs.hostname == ours.hostname
        )
    except ValueError:  # not a URL at all
        return False


_feed: Any = HandshakeCheck(OriginCheck(AuthMiddlewareStack(FeedConsumer.as_asgi())))
_nothing: Any = nothing_here
websocket_urlpatterns = [path("ws", _feed), re_path("", _nothing)]
