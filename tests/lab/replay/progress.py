"""Pacing of a replay by the recording's clock, and lines that report its progress."""

import time
from collections.abc import Callable
from typing import Final

LINE_SECONDS: Final = 2.0
MAX_SPEED: Final = 0.0  # stands for "as fast as it goes"


class Pace:
    """Tells when a command is due; `speed` is a multiple of the recorded speed, 0: no pacing."""

    def __init__(self, speed: float) -> None:
        assert speed >= 0
        self._speed = speed
        self._started = time.monotonic()

    def wait_seconds(self, time_ms: int) -> float:
        """Return the seconds until a command of that time is due; 0 when it is due already."""
        if self._speed == MAX_SPEED or time_ms <= 0:
            return 0.0
        due = self._started + time_ms / 1e3 / self._speed
        return max(0.0, due - time.monotonic())


class Progress:
    """Count commands, and write a line of progress every LINE_SECONDS."""

    def __init__(self, total: int, write: Callable[[str], object]) -> None:
        self.done = 0
        self._total = total
        self._write = write
        self._started = time.monotonic()
        self._line_at = self._started + LINE_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def add(self, count: int = 1) -> None:
        """Count commands that the exchange has answered."""
        self.done += count
        if time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            self._write(self.line())

    def line(self) -> str:
        """Return a line with the commands done, their rate and the remaining time."""
        rate = self.done / max(self.seconds, 1e-9)
        left = (self._total - self.done) / max(rate, 1e-9)
        share = 100 * self.done / max(self._total, 1)
        return (
            f"{self.done:,} of {self._total:,} commands ({share:.0f} %),"
            f" {rate:,.0f}/s, {left:,.0f} s left"
        )
