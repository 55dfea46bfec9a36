"""Publish a committed batch to the command streams. A lost entry only waits for the sweep."""

from collections.abc import Sequence
from typing import Final

import redis
import structlog
from prometheus_client import Counter

from exchange.infra.metrics import stage_timed
from exchange.infra.redis import Pause, commands_stream, redis_client
from orders.intake.decisions import StreamEntry

PUBLISH_FAILED: Final = Counter(
    "takas_publish_failed", "Commands that did not reach their stream; the worker sweeps them"
)

# One command for a batch: one for each entry took three times as long to pack and to answer.
APPEND: Final = """
for i = 1, #ARGV do
    redis.call('XADD', KEYS[1], '*', 'c', ARGV[i])
end
"""

log = structlog.get_logger(__name__)


class RedisPublisher:
    """Appender of commands to their partition's stream: one Redis command a batch and partition.

    It does not wait for Redis's answer before the next batch, or `confirm`: by then it has come.
    """

    def __init__(self) -> None:
        self._pool = redis_client().connection_pool
        self._connection: redis.Connection | None = None  # while an answer is due
        self._unanswered: list[int] = []  # entries of each Redis command that was sent
        self._pause = Pause()  # during a pause the sweep finds the commands

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        """Send entries in order. A failure is counted and logged, never raised."""
        self.confirm()
        if not entries:
            return
        if self._pause.is_on:
            PUBLISH_FAILED.inc(len(entries))
            return
        try:
            with stage_timed("publish"):
                self._send(entries)
        except Exception as error:  # the batch is durable: a raise would run it again
            self._fail(error)

    def confirm(self) -> None:
        """Wait for the answer to the entries that were sent. A failure is counted and logged."""
        if self._connection is None:
            return
        try:
            with stage_timed("publish"):
                while self._unanswered:
                    self._connection.read_response()
                    self._unanswered.pop(0)
                self._pool.release(self._connection)
                self._connection = None
        except Exception as error:
            self._fail(error)

    def _send(self, entries: Sequence[StreamEntry]) -> None:
        payloads: dict[int, list[bytes]] = {}
        for partition_id, payload in entries:
            payloads.setdefault(partition_id, []).append(payload)
        self._unanswered = [len(own) for own in payloads.values()]
        self._connection = self._pool.get_connection()
        for partition_id, own in payloads.items():
            words = ("EVAL", APPEND, 1, commands_stream(partition_id), *own)
            self._connection.send_command(*words)  # type: ignore[no-untyped-call]

    def _fail(self, error: Exception) -> None:
        """Count what is not known to have arrived, and give up the connection."""
        lost = sum(self._unanswered)
        self._unanswered = []
        if self._connection is not None:
            self._connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(self._connection)
            self._connection = None
        self._pause.begin(error)
        PUBLISH_FAILED.inc(lost)
        expected = isinstance(error, redis.RedisError | OSError)
        report = log.warning if expected else log.exception
        report("intake.publish_failed", commands=lost, error=repr(error))
