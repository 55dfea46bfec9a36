"""How passwords are hashed: few at once, in threads of their own that give way to all others.

A hash takes some 50 ms of a processor. Who is known from where they are has places of their own, so
that strangers cannot take them all. Strangers have half of the processors at most, and after a hash
of theirs its place rests: beside a hash the memory is slow for everybody, however nice its thread.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import Empty, SimpleQueue
from typing import Final

import structlog
from django.contrib.auth.hashers import ScryptPasswordHasher

from exchange.signin.throttle import Taken, too_many

STRANGERS_AT_ONCE_MAX: Final = max(1, (os.cpu_count() or 1) // 2)
KNOWN_AT_ONCE_MAX: Final = 2
HASHES_WAITING_MAX: Final = 6  # threads of each kind, the ones at work among them
HASH_WAIT_S: Final = 2.0
HASH_AGAIN_S: Final = 1  # who found no place may come again then
STRANGERS_REST: Final = 3.0  # times as long as the hash took: they hash for a quarter of the time
REST_MAX_S: Final = 1.0
# A thread of this niceness has a tenth of the processor time of one that answers requests, where
# both want the same processor. `hashlib.scrypt` holds no interpreter lock while it waits for it.
HASH_NICENESS: Final = 10

log = structlog.get_logger(__name__)


class HashPlaces:
    """Places for one kind of client."""

    def __init__(
        self,
        at_once: int,
        *,
        waiting_max: int = HASHES_WAITING_MAX,
        rest: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._sleep = sleep
        self._threads = threading.BoundedSemaphore(waiting_max)
        self._free: SimpleQueue[float] = SimpleQueue()  # each place, and when it has rested
        for _ in range(at_once):
            self._free.put(clock())

    @property
    def are_taken(self) -> bool:
        """Whether who comes now is refused. It may have changed by the time that they come."""
        if not self._threads.acquire(blocking=False):
            return True
        self._threads.release()
        return False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place, or raise auth.too_many_attempts when there is none soon."""
        if not self._threads.acquire(blocking=False):
            raise too_many(HASH_AGAIN_S)
        try:
            with self._place_taken():
                yield
        finally:
            self._threads.release()

    @contextmanager
    def _place_taken(self) -> Iterator[None]:
        try:
            rested_s = self._free.get(timeout=HASH_WAIT_S)
        except Empty:
            raise too_many(HASH_AGAIN_S) from None
        began_s = self._clock()
        try:
            if rested_s > began_s:
                self._sleep(rested_s - began_s)
            began_s = self._clock()
            yield
        finally:
            ended_s = self._clock()
            self._free.put(ended_s + min(REST_MAX_S, self._rest * (ended_s - began_s)))


STRANGERS: Final = HashPlaces(STRANGERS_AT_ONCE_MAX, rest=STRANGERS_REST)
KNOWN: Final = HashPlaces(KNOWN_AT_ONCE_MAX)


def places_for(taken: Taken) -> HashPlaces:
    """Where an attempt's password is hashed."""
    return KNOWN if taken.is_known else STRANGERS


class NiceScryptHasher(ScryptPasswordHasher):
    """Django's own, in one of the threads that give way; what it makes is the same."""

    def encode(
        self,
        password: str,
        salt: str,
        n: int | None = None,
        r: int | None = None,
        p: int | None = None,
    ) -> str:
        hashing = _threads(os.getpid()).submit(super().encode, password, salt, n, r, p)
        return hashing.result()


@cache
def _threads(_pid: int) -> ThreadPoolExecutor:
    """Of this process: threads do not live on after a fork. There is one for each place."""
    number = STRANGERS_AT_ONCE_MAX + KNOWN_AT_ONCE_MAX
    return ThreadPoolExecutor(number, thread_name_prefix="hash", initializer=_give_way)


def _give_way() -> None:
    """Raise the niceness of this thread; Linux has one for each thread."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    try:
        niceness = max(HASH_NICENESS, os.getpriority(os.PRIO_PROCESS, thread))
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except OSError as error:  # it is better to hash beside the orders than not at all
        log.warning("signin.not_nice", error=str(error))
