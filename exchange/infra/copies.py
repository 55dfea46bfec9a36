"""Copies of reference data: read together, kept for seconds, shared by a process.

So the symbols, fees, limits and engines that an order depends on cost no statement an order.
"""

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import threads_only

T = TypeVar("T")

WAIT_S: Final = 5.0  # for another thread's reading; a longer one hangs


class Reading(NamedTuple, Generic[T]):
    """A value that was read, and the seconds since its reading began."""

    value: T
    age_s: float


class Copy(Generic[T]):
    """Keeps the last reading of a value. After `age_max_s` one thread reads the value anew.

    Other threads use the last reading meanwhile, or wait where it is `stale_max_s` old. A failed
    reading fails for all threads that waited for it: they do not try one after another.

    An event loop neither reads nor waits: where a thread would have to, `get` raises
    SynchronousOnlyOperation there, as Django's own connections do.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        age_max_s: float,
        stale_max_s: float = inf,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self.age_max_s = age_max_s
        self._stale_max_s = stale_max_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._kept: tuple[T, float] | None = None  # and when its reading began
        self._failures = 0
        self._failure: Exception | None = None  # of the last failed reading

    def get(self) -> T:
        """Return the value, `stale_max_s` old at most."""
        kept = self._kept
        if kept is not None and self._now_s() - kept[1] < self.age_max_s:
            return kept[0]
        return self.reading().value

    def reading(self) -> Reading[T]:
        """Return the last reading: its value and its age."""
        failures = self._failures
        known = self._known()
        if known is not None and known.age_s < self.age_max_s:
            return known
        may_wait = known is None or known.age_s >= self._stale_max_s
        if not self._acquire(may_wait):
            assert known is not None
            return known
        try:
            return self._read_anew(failures)
        finally:
            self._lock.release()

    def renewed(self, may_read: Callable[[], bool] = lambda: True) -> T:
        """Return a value whose reading began after this call; others use the last one meanwhile.

        Callers that wait together share a reading. Where `may_read` says no, the last one is it.
        """
        threads_only()
        asked_s, failures = self._now_s(), self._failures
        self._acquire(may_wait=True)
        try:
            kept = self._kept
            if kept is not None and (kept[1] > asked_s or not may_read()):
                return kept[0]
            return self._read_once(failures).value
        finally:
            self._lock.release()

    def _acquire(self, may_wait: bool) -> bool:
        """Return whether this thread has to read. Raises server.busy when another reader hangs."""
        if self._lock.acquire(blocking=False):
            return True
        if not may_wait:
            return False
        threads_only()
        if not self._lock.acquire(timeout=WAIT_S):
            raise DomainError(Code.SERVER_BUSY)
        return True

    def forget(self) -> None:
        """Make the next reader read anew."""
        with self._lock:
            self._kept = None

    def _known(self) -> Reading[T] | None:
        kept = self._kept
        return None if kept is None else Reading(kept[0], self._now_s() - kept[1])

    def _read_anew(self, failures: int) -> Reading[T]:
        """Read, unless another thread did while this one waited. The caller holds the lock.

        `failures` is how many readings had failed before this thread waited.
        """
        known = self._known()
        if known is not None and known.age_s < self.age_max_s:
            return known
        return self._read_once(failures)

    def _read_once(self, failures: int) -> Reading[T]:
        """Read, or raise what another thread's reading failed with while this one waited."""
        if self._failure is not None and self._failures != failures:
            raise self._failure
        threads_only()
        began_s = self._now_s()
        try:
            value = self._read()
        except Exception as error:
            self._failures += 1
            self._failure = error
            raise
        self._kept = (value, began_s)
        return Reading(value, self._now_s() - began_s)
