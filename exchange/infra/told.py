"""Log lines that strangers can cause without end: bounded, and those left out are counted."""

import logging
import time
from typing import Any, Final

import structlog

from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.metrics import LOG_LINES_UNTOLD

LINES: Final = Rate(per_second=10, burst=50)  # of each event, in a process

log = structlog.get_logger(__name__)
_buckets: Final = LocalBuckets(lambda: time.monotonic_ns() // 1_000_000)


def stranger_told(event: str, **words: Any) -> None:
    """Log a warning, or only count it where there were too many of its event."""
    bounded_told(event, level=logging.WARNING, **words)


def bounded_told(event: str, *, level: int, owner: str = "", **words: Any) -> None:
    """Log a line, or only count it where there were too many of its event and owner."""
    if _buckets.take(f"{event}:{owner}", LINES, 1).wait_ms > 0:
        LOG_LINES_UNTOLD.labels(event).inc()
    else:
        log.log(level, event, **words)


def told_forget() -> None:
    """Forget how many lines there were (between tests)."""
    _buckets.forget()
