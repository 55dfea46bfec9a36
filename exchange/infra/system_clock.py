"""The time that a matching worker goes by: the wall clock's, moved on by the steady clock."""

import time
from collections.abc import Callable
from typing import Final

import structlog

# A wall clock that stays so far ahead of the steady clock for so long is followed.
JUMP_NS: Final = 1_000_000_000
JUMP_STANDS_NS: Final = 30_000_000_000

log = structlog.get_logger(__name__)


def steady_ns() -> int:
    """Return the steady clock; where the system has CLOCK_BOOTTIME it runs during a suspension."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)


class SystemClock:
    """Unix time in milliseconds as it was at the start, moved on by the steady clock.

    A wall clock that jumps (F17) must neither stop the heartbeat nor make it race. A wall clock
    that stays ahead is followed, as after a restart: a virtual machine that was stopped goes on,
    and due orders must not wait for the next start. The time never goes backwards.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = steady_ns,
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._offset_ns = wall_ns() - steady_ns()
        self._ahead_since_ns: int | None = None

    def now_ms(self) -> int:
        now_ns = self._steady_ns()
        ahead_ns = self._wall_ns() - now_ns - self._offset_ns
        if ahead_ns < JUMP_NS:
            self._ahead_since_ns = None
        elif self._ahead_since_ns is None:
            self._ahead_since_ns = now_ns
        elif now_ns - self._ahead_since_ns >= JUMP_STANDS_NS:
            self._ahead_since_ns = None
            self._offset_ns += ahead_ns
            log.warning("matching.clock_followed", ahead_ms=ahead_ns // 1_000_000)
        return (now_ns + self._offset_ns) // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        time.sleep(duration_ms / 1_000)
