"""The Celery app: `celery -A config.celery worker|beat`, with logs and probes like all roles.

The worker's parent answers the probes; its children leave their metrics in files
(PROMETHEUS_MULTIPROC_DIR). A worker or beat that hangs on a broken broker connection would look
alive. So the probe calls it alive only while tasks keep passing; beat sends one each second.
"""

import logging
import os
import time
import warnings
from typing import Any, Final

from celery import Celery, signals
from celery.platforms import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")

SILENCE_MAX_SECONDS: Final = 60.0

# A worker under root is dangerous with pickle only; this one takes JSON alone
# (settings/parts/redis).
warnings.simplefilter("ignore", SecurityWarning)

app = Celery("takas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_last_task: list[float] = [time.monotonic()]


@signals.setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Keep Celery from configuring logging, which Django has configured: a receiver is enough."""
    logging.getLogger("celery.app.trace").addFilter(_without_traceback_if_away)


def _without_traceback_if_away(record: logging.LogRecord) -> bool:
    """Reduce the record of a task to one line where Postgres was away: no line of ours failed."""
    from exchange.infra.database import DATABASE_AWAY

    if record.exc_info and isinstance(record.exc_info[1], DATABASE_AWAY):
        record.exc_info = None
        record.__dict__.pop("data", None)  # it repeats the text, with the traceback
    return True


@signals.task_received.connect
def _task_received(**_: Any) -> None:
    _last_task[0] = time.monotonic()


@signals.before_task_publish.connect
def _task_sent(**_: Any) -> None:
    _last_task[0] = time.monotonic()


@signals.worker_ready.connect
def _worker_ready(**_: Any) -> None:
    _serve("worker", "task received")


@signals.beat_init.connect
def _beat_ready(**_: Any) -> None:
    _serve("beat", "task sent")


@signals.worker_process_shutdown.connect
def _child_ended(pid: int, **_: Any) -> None:
    from django.conf import settings
    from prometheus_client import multiprocess

    from exchange.infra.logging import log_flush

    log_flush()
    if settings.PROMETHEUS_MULTIPROC_DIR:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _serve(role: str, what: str) -> None:
    from django.conf import settings

    from exchange.infra import health

    _last_task[0] = time.monotonic()
    passing = health.recency_check(
        lambda: _last_task[0], limit_seconds=SILENCE_MAX_SECONDS, what=what
    )
    health.serve(role, settings.METRICS_PORT, health.standard_checks(), live={"tasks": passing})
