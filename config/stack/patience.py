"""The wait for a role that is not ready yet: it goes on while the role moves, with a bound.

A machine may be slow and busy with other things, so no fixed time tells a role that hangs from a
role that still works. Its printed lines and its processor time do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

QUIET_SECONDS: Final = 90.0  # without a line and almost no processor time: it hangs
READY_SECONDS_MAX: Final = 900.0  # the bound of the wait, whatever the role does
# A process that only waits, and answers that it is not ready, uses less than this.
CPU_SECONDS_PER_SIGN: Final = 2.0
TICKS_PER_SECOND: Final = 100  # of /proc: USER_HZ, the same on every Linux


@dataclass(slots=True)
class Patience:
    """Follows a role's lines and processor time, and says when the wait for it is over."""

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
        """Note the role's total of printed lines and of processor seconds."""
        if lines > self._lines or cpu_seconds >= self._cpu_seconds + CPU_SECONDS_PER_SIGN:
            self._moved = self.now()
            self._lines, self._cpu_seconds = lines, cpu_seconds

    def ended_why(self) -> str | None:
        """Return why the wait is over, in words; None while it goes on."""
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
    """Return the processor seconds of a group's processes and of their ended children."""
    return sum(_cpu_ticks(entry, group) for entry in Path("/proc").iterdir()) / TICKS_PER_SECOND


def _cpu_ticks(entry: Path, group: int) -> int:
    if not entry.name.isdigit():
        return 0
    try:
        after_name = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # the process ended meanwhile
    # Fields after the name: 0 to 2 are state, parent, group; 11 to 14 user and system time, own and
    # of ended children.
    return sum(map(int, after_name[11:15])) if int(after_name[2]) == group else 0
