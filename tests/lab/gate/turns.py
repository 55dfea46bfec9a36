"""Two pieces of work in turns: the ratio of their processor times in this thread.

A machine that is slow, or busy with others, slows both down alike, as a turn is a few milliseconds.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

ROWS: Final = 400
UNITS: Final = 4

Clock = Callable[[], int]


def unit() -> None:
    """Do a fixed piece of work: texts, tuples, a dictionary and a sort, as in the product."""
    rows = {f"{number:08d}.{number % 7}": (number, number * number % 97) for number in range(ROWS)}
    ordered = sorted(rows.items(), key=lambda row: row[1][1])
    assert sum(row[1][0] + len(row[0]) for row in ordered) > ROWS


def thread_ns(work: Callable[[], object], clock: Clock = time.thread_time_ns) -> int:
    """Do the work; return its processor time in this thread, in nanoseconds."""
    began = clock()
    work()
    return clock() - began


def backend_ns(pid: int) -> int:
    """Return the processor time of a Postgres process so far, in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def wal_records(connection: psycopg.Connection[Any]) -> int:
    """Return how many records this session has written into the write-ahead log so far."""
    row = connection.execute("SELECT pg_stat_force_next_flush()").fetchone()
    row = connection.execute(
        "SELECT wal_records FROM pg_stat_get_backend_wal(pg_backend_pid())"
    ).fetchone()
    assert row is not None
    return int(row[0])


class Turns:
    """Costs in units of the fixed work, from one turn after another."""

    def __init__(self) -> None:
        self._ratios: list[list[float]] = []

    def take(self, measured: Callable[[], Sequence[float]]) -> None:
        """Let the unit run, then the work, then the unit; `measured` returns nanoseconds."""
        before = thread_ns(_units)
        costs = measured()
        after = thread_ns(_units)
        self._ratios.append([cost * 2 * UNITS / (before + after) for cost in costs])

    @property
    def medians(self) -> list[float]:
        """Return the median of the turns for each cost."""
        return [statistics.median(costs) for costs in zip(*self._ratios, strict=True)]


def _units() -> None:
    for _ in range(UNITS):
        unit()
