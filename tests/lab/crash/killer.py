"""Kill parts of a running stack at seeded random moments, with real signals."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.lab.stack import RunningStack

GAP_SECONDS: Final = (2.0, 6.0)
# Longer than its lease of 3 s: the worker that wakes up must find itself fenced off.
PAUSE_SECONDS: Final = (3.5, 5.0)
FIND_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05

# Roles and what is done to them. A wipe deletes the files of Redis before it is started again.
TARGETS: Final = (
    "web",
    "matching",
    "worker",
    "worker-child",
    "beat",
    "redis",
    "redis-wiped",
    "postgres",
    "matching-paused",
)


@dataclass(frozen=True, slots=True)
class Kill:
    """One planned kill: its target, and the seconds since the kill before it."""

    gap_seconds: float
    target: str
    pause_seconds: float


def kills_plan(seed: int, count: int, targets: Sequence[str] = TARGETS) -> list[Kill]:
    """Return the kills of a seed; every target is drawn once before any is drawn again."""
    random = Random(seed)  # a test plan, not a secret
    kills: list[Kill] = []
    while len(kills) < count:
        kills += [
            Kill(random.uniform(*GAP_SECONDS), target, random.uniform(*PAUSE_SECONDS))
            for target in random.sample(targets, len(targets))
        ]
    return kills[:count]


class Killer(threading.Thread):
    """Carry out a plan in a thread of its own; `done` counts the kills."""

    def __init__(self, stack: RunningStack, plan: Sequence[Kill], write: Callable[[str], object]):
        super().__init__(name="killer", daemon=True)
        self._stack = stack
        self._plan = plan
        self._write = write
        self._stopping = threading.Event()
        self.done = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Kill as planned; `error` keeps an exception for the thread that joins."""
        try:
            started = time.monotonic()
            for kill in self._plan:
                if self._stopping.wait(kill.gap_seconds):
                    return
                pid = self._strike(kill)
                self.done += 1
                self._write(
                    f"  {time.monotonic() - started:6.1f} s  {self.done:>3}. {kill.target} ({pid})"
                )
        except Exception as error:  # raised by the thread that joins
            self.error = error

    def stop(self) -> None:
        """Kill no more."""
        self._stopping.set()

    def _strike(self, kill: Kill) -> int:
        role = kill.target.partition("-")[0]
        pid = self._pid(role)
        if kill.target == "worker-child":
            children = _children(pid)
            pid = children[0] if children else pid
        if kill.target == "matching-paused":
            _signal(pid, signal.SIGSTOP)
            self._stopping.wait(kill.pause_seconds)
            _signal(pid, signal.SIGCONT)
            return pid
        _signal(pid, signal.SIGKILL)
        if kill.target == "redis-wiped":
            _redis_wipe(self._stack.data)
        return pid

    def _pid(self, role: str) -> int:
        """Return the pid of the role; wait while the supervisor starts it again."""
        deadline = time.monotonic() + FIND_SECONDS
        while time.monotonic() < deadline:
            entry: dict[str, Any] = self._stack.state().get("roles", {}).get(role, {})
            if entry.get("pid"):
                return int(entry["pid"])
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{role} did not come back in {FIND_SECONDS:.0f} s")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended by itself, which counts as a kill


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _redis_wipe(data: Path) -> None:
    for path in (data / "redis").iterdir():
        if path.name != "redis.conf":
            path.unlink(missing_ok=True)
