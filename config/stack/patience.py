"""How long a role that is not ready yet is waited for: as long as something moves, with a bound.

A machine may be slow and busy with other things, so no fixed time tells a role that hangs from one
that is still at work. What it prints and the processor time that it uses do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

QUIET_SECONDS: Final = 90.0  # nothing printed and next to nothing computed for so long: it hangs
READY_SECONDS_MAX: Final = 900.0  # and no role is waited for longer than this, whatever it does
# Less than this is what a process uses that only waits and answers that it is not ready.
CPU_SECONDS_PER_SIGN: Final = 2.0
TICKS_PER_SECOND: Final = 100  # of /proc: USER_HZ, the same on every Linux


@dataclass(slots=True)
class Patience:
    """Is told what a role has done so far, and says when it has been waited for long enough."""

    quiet_seconds: float
    seconds_max: float
    now: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _moved: float = field(init=False)
    _lines: int = 0
    _cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._began = self._moved = self.now()

    def look(self, lines: int, cpu_seconds: float) -> None:
        """Take note of how many lines it has printed and how long it has computed, in all."""
        if lines > self._lines or cpu_seconds >= self._cpu_seconds + CPU_SECONDS_PER_SIGN:
            self._moved = self.now()
            self._lines, self._cpu_seconds = lines, cpu_seconds

    def ended_why(self) -> str | None:
        """Why it is not waited for any longer; None: it is."""
        now = self.now()
        if now - self._began >= self.seconds_max:
            return f"it had {self.seconds_max:g} s"
        if now - self._moved >= self.quiet_seconds:
            return f"nothing moved for {self.quiet_seconds:g} s"
        return None

    @property
    def waited_seconds(self) -> float:
        return self.now() - self._began


def group_cpu_seconds(group: int) -> float:
    """Processor time of all processes of a group, and of their children that have ended."""
    return sum(_cpu_ticks(entry, group) for entry in Path("/proc").iterdir()) / TICKS_PER_SECOND


def _cpu_ticks(entry: Path, group: int) -> int:
    if not entry.name.isdigit():
        return 0
    try:
        after_name = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended while we looked
    # After the name: state, parent, group; user and system time, and those of ended children.
    return sum(map(int, after_name[11:15])) if int(after_name[2]) == group else 0
