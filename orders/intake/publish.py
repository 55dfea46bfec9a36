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
    """Appender of commands to their partition's stream, one round trip a batch and partition."""

    def __init__(self) -> None:
        self.append = redis_client().register_script(APPEND)
        self._pause = Pause()  # during a pause the sweep finds the commands

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        """Append entries in order. A failure is counted and logged, never raised."""
        if not entries:
            return
        if self._pause.is_on:
            PUBLISH_FAILED.inc(len(entries))
            return
        try:
            with stage_timed("publish"):
                self._append(entries)
        except Exception as error:  # the batch is durable: a raise would run it again
            self._pause.begin(error)
            PUBLISH_FAILED.inc(len(entries))
            expected = isinstance(error, redis.RedisError | OSError)
            report = log.warning if expected else log.exception
            report("intake.publish_failed", commands=len(entries), error=repr(error))

    def _append(self, entries: Sequence[StreamEntry]) -> None:
        payloads: dict[int, list[bytes]] = {}
        for partition_id, payload in entries:
            payloads.setdefault(partition_id, []).append(payload)
        for partition_id, own in payloads.items():
            self.append(keys=[commands_stream(partition_id)], args=own)
