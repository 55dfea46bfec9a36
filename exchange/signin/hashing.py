"""Password hashing: a few hashes at once, in threads that give way to all others.

A hash takes some 50 ms of a processor. Attempts from known networks have places of their own, so
that strangers cannot take them all. Strangers have half of the processors at most, and their place
rests after a hash: a hash slows down memory for all threads, whatever its own priority.
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
HASHES_WAITING_MAX: Final = 6  # threads for each kind of client, those at work among them
HASH_WAIT_S: Final = 2.0
HASH_AGAIN_S: Final = 1  # the wait of an attempt that found no place
STRANGERS_REST: Final = 3.0  # times the duration of the hash: they hash a quarter of the time
REST_MAX_S: Final = 1.0
# Where both want the same processor, a thread of this niceness gets a tenth of the time of a thread
# that answers requests. `hashlib.scrypt` releases the interpreter lock meanwhile.
HASH_NICENESS: Final = 10

log = structlog.get_logger(__name__)


class HashPlaces:
    """Places to hash passwords for one kind of client; each place hashes one at a time."""

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
        self._free: SimpleQueue[float] = SimpleQueue()  # of each free place, the end of its rest
        for _ in range(at_once):
            self._free.put(clock())

    @property
    def are_taken(self) -> bool:
        """Whether an attempt would be refused now. The answer may be outdated at once."""
        if not self._threads.acquire(blocking=False):
            return True
        self._threads.release()
        return False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the block. Raises auth.too_many_attempts where none gets free soon."""
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
            rest_ends_s = self._free.get(timeout=HASH_WAIT_S)
        except Empty:
            raise too_many(HASH_AGAIN_S) from None
        began_s = self._clock()
        try:
            if rest_ends_s > began_s:
                self._sleep(rest_ends_s - began_s)
            began_s = self._clock()
            yield
        finally:
            ended_s = self._clock()
            self._free.put(ended_s + min(REST_MAX_S, self._rest * (ended_s - began_s)))


STRANGERS: Final = HashPlaces(STRANGERS_AT_ONCE_MAX, rest=STRANGERS_REST)
KNOWN: Final = HashPlaces(KNOWN_AT_ONCE_MAX)


def places_for(taken: Taken) -> HashPlaces:
    """Return the places at which an attempt's password is hashed."""
    return KNOWN if taken.is_known else STRANGERS


class NiceScryptHasher(ScryptPasswordHasher):
    """Django's scrypt hasher, run in a thread that gives way; the hashes are the same."""

    def encode(
        self,
        password: str,
        salt: str,
        n: int | None = None,
        r: int | None = None,
        p: int | None = None,
    ) -> str:
        """Return the encoded hash; the calling thread waits for it."""
        hashing = _threads(os.getpid()).submit(super().encode, password, salt, n, r, p)
        return hashing.result()


@cache
def _threads(_pid: int) -> ThreadPoolExecutor:
    """Return the threads of a process, one for each place: threads do not survive a fork."""
    number = STRANGERS_AT_ONCE_MAX + KNOWN_AT_ONCE_MAX
    return ThreadPoolExecutor(number, thread_name_prefix="hash", initializer=_give_way)


def _give_way() -> None:
    """Raise the niceness of this thread; on Linux every thread has its own."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    try:
        niceness = max(HASH_NICENESS, os.getpriority(os.PRIO_PROCESS, thread))
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except OSError as error:  # hashing without giving way is better than none
        log.warning("signin.not_nice", error=str(error))
