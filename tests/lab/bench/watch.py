"""Watch a stack beside a load: how far it is behind, processor time and memory by role."""

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from config.stack.patience import TICKS_PER_SECOND
from config.stack.state import state_read
from exchange.infra.database import connect

EVERY_SECONDS: Final = 0.5
MIB: Final = 1_024  # KiB

# Ages in seconds: of the oldest order or command that no engine has sequenced yet, and of the
# oldest batch of the engine that is not settled yet.
_LAGS: Final = """
SELECT
    coalesce(extract(epoch FROM now() - least(
        (SELECT min(created_at) FROM orders_order WHERE engine_seq IS NULL),
        (SELECT min(created_at) FROM orders_command WHERE engine_seq IS NULL)))::float8, 0),
    coalesce((SELECT max(extract(epoch FROM now() - (
        SELECT created_at FROM orders_enginejournal journal
        WHERE journal.partition_id = cursor.partition_id AND journal.last_seq > cursor.last_seq
        ORDER BY journal.last_seq LIMIT 1)))::float8 FROM orders_settlementcursor cursor), 0)
"""


@dataclass(slots=True)
class Watched:
    """The longest lags in seconds, processor seconds by role, and memory in MiB by role over time.

    `memory` has the seconds since the start of the watch.
    """

    engine_lag_s: float = 0.0
    settlement_lag_s: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, dict[str, int]]] = field(default_factory=list)


class Watch:
    """A thread that looks at a stack until the block ends; memory only every `memory_seconds`."""

    def __init__(self, data: Path, *, memory_seconds: float) -> None:
        self.seen = Watched()
        self._data = data
        self._memory_seconds = memory_seconds
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._cpu_before: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="bench-watch", daemon=True)

    def __enter__(self) -> Self:
        self._cpu_before = cpu_by_role(self._data)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.seen.cpu_seconds = {
            role: seconds - self._cpu_before.get(role, 0.0)
            for role, seconds in cpu_by_role(self._data).items()
        }
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            with connect("bench-watch", index_plans=False) as connection:
                self._look(connection)
        except BaseException as failure:
            self._failure = failure

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        started = memory_at = time.monotonic()
        while not self._stop.wait(EVERY_SECONDS):
            row = connection.execute(_LAGS).fetchone()
            assert row is not None
            self.seen.engine_lag_s = max(self.seen.engine_lag_s, row[0])
            self.seen.settlement_lag_s = max(self.seen.settlement_lag_s, row[1])
            now = time.monotonic()
            if now >= memory_at:
                memory_at += self._memory_seconds
                self.seen.memory.append((now - started, memory_by_role(self._data)))


def memory_by_role(data: Path) -> dict[str, int]:
    """Return the MiB that the processes of each role use; shared pages count once."""
    return {role: sum(map(_memory_kib, pids)) // MIB for role, pids in _pids_by_role(data).items()}


def cpu_by_role(data: Path) -> dict[str, float]:
    """Return the processor seconds that the processes of each role have used, ended ones too."""
    return {
        role: sum(map(_cpu_ticks, pids)) / TICKS_PER_SECOND
        for role, pids in _pids_by_role(data).items()
    }


def _pids_by_role(data: Path) -> dict[str, list[int]]:
    children = _children()
    return {
        name: _family(role["pid"], children)
        for name, role in state_read(data).get("roles", {}).items()
        if role["pid"] is not None
    }


def _cpu_ticks(pid: int) -> int:
    """Return the ticks of a process and of its ended children; 0 for one that has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, after_name[11:15]))


def _children() -> dict[int, list[int]]:
    """Return the processes that each process has started."""
    found = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                after_name = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
            found[int(after_name[1])].append(int(entry))
    return found


def _family(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(one for child in children.get(pid, []) for one in _family(child, children))]


def _memory_kib(pid: int) -> int:
    """Return a process' proportional share of its memory; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
