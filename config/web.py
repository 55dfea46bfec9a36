"""HTTP: granian serves this, one event loop a process; pages and API calls run in threads."""

import structlog
from django.conf import settings

from config.wsgi import application as django
from exchange import health
from exchange.api.documents import documents_make
from exchange.http.connections import connections_watch
from exchange.http.door import Door
from exchange.http.probes import WEB

log = structlog.get_logger(__name__)


def _health_serve() -> None:
    try:
        health.serve("web", settings.METRICS_PORT, WEB.ready, tolerated=WEB.tolerated)
    except OSError as error:
        # Another process of this role has the port. It is better to serve unmeasured than not.
        log.error(
            "web.health_port_taken",
            port=settings.METRICS_PORT,
            error=str(error),
            remedy="set PROMETHEUS_MULTIPROC_DIR, so that several processes share the port",
        )


documents_make()
application = Door(django, threads=settings.WEB_THREADS)
_health_serve()
if not settings.TRUST_PROXY:
    connections_watch(not_ports={settings.METRICS_PORT})
