"""Waking settlement from the matching worker, without ever making the worker wait for a broker.

A broker that is down can hold up whoever sends a task for minutes. A thread of its own sends them;
the worker only leaves word. A nudge that gets lost costs a second: beat sends the task as well.
"""

import threading
from typing import Final

import redis
import structlog
from celery import Celery
from kombu.exceptions import KombuError
from prometheus_client import Counter

from exchange.realtime.publish import Publisher

TASK: Final = "orders.tasks.settle_partition"
NUDGE_FAILED: Final = Counter("takas_nudge_failed", "Settlement tasks that could not be sent")

log = structlog.get_logger(__name__)


class SettlementNudge:
    """Sends the settlement task of a partition whenever asked, at most one at a time."""

    def __init__(self, publisher: Publisher, partition_id: int) -> None:
        self._publisher = publisher
        self._partition_id = partition_id
        self._is_wanted = threading.Event()
        # A client of its own: this process runs no tasks and is not the Celery application.
        self._celery = Celery("takas-nudge", set_as_current=False)
        self._celery.config_from_object("django.conf:settings", namespace="CELERY")
        self._thread = threading.Thread(target=self._run, name="settlement-nudge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Ask for a settlement run; returns at once."""
        self._is_wanted.set()

    def send(self) -> bool:
        """Send the task unless one is on its way already; return whether it was sent."""
        if not self._publisher.settlement_flag_set(self._partition_id):
            return False
        self._celery.send_task(TASK, args=(self._partition_id,), retry=False)
        return True

    def _run(self) -> None:
        while self._is_wanted.wait():
            self._is_wanted.clear()
            try:
                self.send()
            except (redis.RedisError, KombuError, OSError) as error:
                NUDGE_FAILED.inc()
                log.warning(
                    "matching.nudge_failed", partition_id=self._partition_id, error=str(error)
                )
