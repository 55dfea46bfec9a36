"""The ASGI application of `ws`: /ws and probes. HTTP belongs to config/web.py."""

import os
from typing import Any

from asgiref.sync import sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
get_asgi_application()  # loads the apps, whose models the next imports need

from exchange.infra import health  # noqa: E402
from exchange.realtime.channels import websocket_urlpatterns  # noqa: E402

WS = health.Health("ws", health.standard_checks(), tolerated=("redis",))
PROBES = ("/livez", "/readyz")


async def probes(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the probes of a load balancer, and no other address."""
    path = scope["path"] if scope["method"] in ("GET", "HEAD") else ""
    asked = path if path in PROBES else ""
    status, body, content_type = await sync_to_async(WS.answer)(asked)
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def no_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse a WebSocket at any address but /ws."""
    await receive()
    await send({"type": "websocket.close"})


_elsewhere: Any = no_socket  # the router takes applications where Django takes views
_sockets = URLRouter([*websocket_urlpatterns, re_path("", _elsewhere)])
application = ProtocolTypeRouter({"http": probes, "websocket": _sockets})
health.serve("ws", settings.METRICS_PORT, WS.ready, tolerated=WS.tolerated)
