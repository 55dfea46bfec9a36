"""Where WebSockets enter, who may open one, and how to end a user's from anywhere."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from channels.auth import AuthMiddlewareStack
from django.conf import settings
from django.urls import path
from prometheus_client import Counter
from redis.exceptions import RedisError

from exchange.realtime.consumers import SERVER_SEND, FeedConsumer
from exchange.realtime.feed import CONTROL_TOPIC
from exchange.redis import FEED_CHANNEL, redis_client

log = structlog.get_logger(__name__)
ORIGINS_REFUSED = Counter("takas_ws_origin_refused", "Handshakes refused for their Origin")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class OriginCheck:
    """Let a browser in only from a page of ours: the session cookie would go along from any page.

    Programs send no Origin and are let in; without one, no browser is behind the cookie.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin", b"").decode("latin1")
        host = headers.get(b"host", b"").decode("latin1")
        if not origin or origin_is_ours(origin, host):
            # The server's own `send`: the session middleware hides it behind one of its own.
            await self._application({**scope, SERVER_SEND: send}, receive, send)
            return
        ORIGINS_REFUSED.inc()
        log.warning("ws_origin_refused", origin=origin[:200], host=host[:200])
        await receive()
        await send({"type": "websocket.close", "code": 4403})


def origin_is_ours(origin: str, host: str) -> bool:
    """Same host name as the one asked for (the port may differ), or named in the settings."""
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


def sockets_close(user_id: int, *, session_key: str | None = None) -> bool:
    """End a user's WebSockets in every process; only one session's when its key is given.

    For use after sign-out, suspension or a change of password. False when Redis could not be
    reached: then the sockets end with their session's expiry.
    """
    control = msgspec.json.encode({"user_id": user_id, "session_key": session_key})
    message = msgspec.msgpack.encode([(CONTROL_TOPIC, control)])
    try:
        with redis_client() as client:
            client.publish(FEED_CHANNEL, message)
    except RedisError as error:
        log.warning("sockets_close_failed", user_id=user_id, error=repr(error))
        return False
    return True


_feed: Any = OriginCheck(AuthMiddlewareStack(FeedConsumer.as_asgi()))
websocket_urlpatterns = [path("ws", _feed)]
