"""WebSockets: daphne serves this. HTTP belongs to config/wsgi.py."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
django_asgi = get_asgi_application()  # loads the apps: what follows imports models


def _application() -> ProtocolTypeRouter:
    from django.urls import path

    from exchange import health
    from exchange.realtime.channels import OriginCheck
    from exchange.realtime.consumers import FeedConsumer

    health.serve("ws", settings.METRICS_PORT, health.standard_checks(), tolerated=("redis",))
    sockets = URLRouter([path("ws", FeedConsumer.as_asgi())])
    return ProtocolTypeRouter(
        {"http": django_asgi, "websocket": OriginCheck(AuthMiddlewareStack(sockets))}
    )


application = _application()
