"""HTTP: granian serves this with one worker process and 64 blocking threads."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
application = get_wsgi_application()


def _serve_health() -> None:
    from exchange import health
    from exchange.http.probes import WEB

    health.serve("web", settings.METRICS_PORT, WEB.ready, tolerated=WEB.tolerated)


_serve_health()
