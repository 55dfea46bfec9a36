"""64-bit ids that sort by time: milliseconds, node, counter.

Layout (63 bits used): 41 bits of milliseconds since 2024-01-01T00:00Z, 10 bits of node, 12 bits
of counter. A range of time is a range of ids, by which Postgres prunes partitions.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
NODE_BITS = 10
COUNTER_BITS = 12
NODE_MAX = (1 << NODE_BITS) - 1
COUNTER_MAX = (1 << COUNTER_BITS) - 1
TIME_SHIFT = NODE_BITS + COUNTER_BITS
ID_MAX = (1 << 63) - 1


class IdGenerator:
    """Strictly increasing ids for one node; safe to share between threads.

    While the clock stands still or steps back, the counter goes on in the last millisecond. A full
    counter borrows the next millisecond instead of waiting: ids stay in order, their time is ahead.
    """

    def __init__(self, node: int, clock_ms: Callable[[], int]) -> None:
        assert 0 <= node <= NODE_MAX
        self._node_part = node << COUNTER_BITS
        self._clock_ms = clock_ms
        self._last_ms = 0
        self._counter = 0
        self._lock = threading.Lock()

    def next_id(self) -> int:
        """Return an id above all earlier ids of this generator."""
        with self._lock:
            now_ms = self._clock_ms() - EPOCH_MS
            assert now_ms > 0, "the clock is before 2024"
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._counter = 0
            elif self._counter < COUNTER_MAX:
                self._counter += 1
            else:
                self._last_ms += 1
                self._counter = 0
            return (self._last_ms << TIME_SHIFT) | self._node_part | self._counter


def id_floor(time_ms: int) -> int:
    """Return the smallest id of this Unix time in milliseconds; 0 before EPOCH_MS."""
    return max(0, time_ms - EPOCH_MS) << TIME_SHIFT


def id_time_ms(value: int) -> int:
    """Return the Unix time in milliseconds at which the id was made."""
    return (value >> TIME_SHIFT) + EPOCH_MS


def time_ms_text(time_ms: int) -> str:
    """Return a Unix time in milliseconds as RFC 3339 text in UTC, with milliseconds."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_second_text(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
