"""Token buckets within this process: bounded in number, in memory, without a round trip.

They limit clients by address, and stand in for Redis while Redis is away. Pure but for a lock.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

BUCKETS_MAX: Final = 50_000


class Rate(NamedTuple):
    """The refill of a bucket in tokens a second, and its size in tokens."""

    per_second: int
    burst: int


class Verdict(NamedTuple):
    """The wait until there are enough tokens (0: they were taken), and the tokens left."""

    wait_ms: int
    left: int


class LocalBuckets:
    """Buckets by name. A bucket unused for long is full, so the oldest may be dropped."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of buckets."""
        return len(self._buckets)

    def take(self, name: str, rate: Rate, weight: int) -> Verdict:
        """Take `weight` tokens if there are as many, or if the bucket is full.

        A weight above the bucket's size leaves a debt, because it could never pass otherwise.
        """
        now = self._now_ms()
        with self._lock:
            tokens = self._tokens(name, rate, now)
            missing = min(weight, rate.burst) - tokens
            if missing <= 0:
                tokens -= weight
            self._put(name, tokens, now)
        wait_ms = ceil(missing * 1000 / rate.per_second) if missing > 0 else 0
        return Verdict(wait_ms, max(0, int(tokens)))

    def give_back(self, name: str, rate: Rate, weight: int) -> None:
        """Put unused tokens back into their bucket."""
        now = self._now_ms()
        with self._lock:
            self._put(name, min(float(rate.burst), self._tokens(name, rate, now) + weight), now)

    def forget(self) -> None:
        """Fill all buckets (between tests)."""
        with self._lock:
            self._buckets.clear()

    def _tokens(self, name: str, rate: Rate, now: int) -> float:
        tokens, time_ms = self._buckets.get(name, (float(rate.burst), now))
        return min(float(rate.burst), tokens + max(0, now - time_ms) * rate.per_second / 1000)

    def _put(self, name: str, tokens: float, now: int) -> None:
        self._buckets[name] = (tokens, now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
