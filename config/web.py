"""The HTTP application for granian: an event loop a process answers orders, threads the rest."""

import gc
import sys
from typing import Final

import structlog
from django.conf import settings

from config.wsgi import application as django  # first: it sets Django up

# isort: split
from config.resources import RESOURCES
from exchange.api.documents import documents_make
from exchange.infra import health
from exchange.infra.http.connections import connections_watch
from exchange.signin.wait_page import wait_page
from exchange.web.areas import area_served
from exchange.web.door import Door
from exchange.web.middlewares import WEB
from exchange.web.static_files import StaticFiles

# Requests leave hardly any cycles: looking for some after each 700 objects took 5 us an order.
GC_THRESHOLDS: Final = (20_000, 20, 20)
# A thread that renders a page keeps the interpreter for so long while the loop waits for it. With
# Python's 5 ms, orders beside four such threads waited for seconds (docs/benchmarks.md).
SWITCH_SECONDS: Final = 0.0005

log = structlog.get_logger(__name__)


def _health_serve() -> None:
    try:
        health.serve(WEB.role, settings.METRICS_PORT, WEB.ready, tolerated=WEB.tolerated)
    except OSError as error:
        # Another process of this role has the port. Serving unmeasured is better than not serving.
        log.error(
            "web.health_port_taken",
            port=settings.METRICS_PORT,
            error=str(error),
            remedy="set PROMETHEUS_MULTIPROC_DIR, so that several processes share the port",
        )


area = area_served()
if area.has_pages:  # made before the first request that needs them
    documents_make()
    wait_page(0)
application = Door(
    django,
    threads=settings.WEB_THREADS,
    area=area,
    resources=RESOURCES if area.has_api else (),
    static=StaticFiles() if area.has_pages else None,
)
_health_serve()
if not settings.TRUST_PROXY:
    connections_watch(not_ports={settings.METRICS_PORT})
# Freeze the objects made so far: else each full collection stops the event loop for 80 ms.
gc.collect()
gc.freeze()
gc.set_threshold(*GC_THRESHOLDS)
sys.setswitchinterval(SWITCH_SECONDS)
