"""Latencies of any number of requests in bounded memory: logarithmic buckets of one percent."""

import math
from operator import add
from typing import Final

_GROWTH: Final = 1.01
_LOG_GROWTH: Final = math.log(_GROWTH)
_SMALLEST_SECONDS: Final = 1e-6
_BUCKETS: Final = 2_400  # up to more than an hour


class Latencies:
    """Counts of durations in seconds; percentiles are exact to one percent, the maximum exactly."""

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        place = 0
        if seconds > _SMALLEST_SECONDS:
            place = min(_BUCKETS - 1, int(math.log(seconds / _SMALLEST_SECONDS) / _LOG_GROWTH) + 1)
        self._buckets[place] += 1
        self.count += 1
        self.max_seconds = max(self.max_seconds, seconds)

    def add_all(self, other: "Latencies") -> None:
        """Count the durations that another object has counted."""
        self._buckets = list(map(add, self._buckets, other._buckets))
        self.count += other.count
        self.max_seconds = max(self.max_seconds, other.max_seconds)

    def percentile_seconds(self, percent: float) -> float:
        """Return a percentile, rounded up to its bucket's upper bound; 0 without durations."""
        assert 0 < percent <= 100
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for place, number in enumerate(self._buckets):
            seen += number
            if seen >= wanted and seen:
                return min(self.max_seconds, _SMALLEST_SECONDS * _GROWTH**place)
        return 0.0

    def percentiles_ms(self) -> tuple[float, float, float]:
        """Return p50, p95 and p99 in milliseconds."""
        p50, p95, p99 = (self.percentile_seconds(percent) * 1e3 for percent in (50, 95, 99))
        return p50, p95, p99

    def summary(self) -> str:
        """Return p50, p95, p99 and the maximum in milliseconds, as text."""
        shown = [
            f"p{percent} {self.percentile_seconds(percent) * 1e3:.1f}" for percent in (50, 95, 99)
        ]
        return ", ".join([*shown, f"max {self.max_seconds * 1e3:.1f} ms"])
