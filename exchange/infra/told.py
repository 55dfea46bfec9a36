"""Lines of the log about what strangers repeat: bounded, and what is left out is counted."""

import time
from typing import Any, Final

import structlog

from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.metrics import LOG_LINES_UNTOLD

LINES: Final = Rate(per_second=10, burst=50)  # of each kind, in a process

log = structlog.get_logger(__name__)
_buckets: Final = LocalBuckets(lambda: time.monotonic_ns() // 1_000_000)


def stranger_told(event: str, **words: Any) -> None:
    """Put a line into the log, unless there were too many of its kind."""
    if _buckets.take(event, LINES, 1).wait_ms > 0:
        LOG_LINES_UNTOLD.labels(event).inc()
    else:
        log.warning(event, **words)


def told_forget() -> None:
    """Let every kind have its lines again (between tests)."""
    _buckets.forget()
