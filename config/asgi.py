"""WebSockets: daphne serves this. HTTP belongs to config/wsgi.py."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
django_asgi = get_asgi_application()  # loads the apps: what follows imports models


def _application() -> ProtocolTypeRouter:
    from exchange import health
    from exchange.realtime.channels import websocket_urlpatterns

    health.serve("ws", settings.METRICS_PORT, health.standard_checks(), tolerated=("redis",))
    return ProtocolTypeRouter({"http": django_asgi, "websocket": URLRouter(websocket_urlpatterns)})


application = _application()
