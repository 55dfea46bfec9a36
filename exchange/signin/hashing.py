"""How many passwords are hashed at once: each takes a thread for some 50 ms of a processor.

Who is known from where they are has places of their own, so that strangers cannot take them all.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from exchange.signin.throttle import too_many

HASHES_AT_ONCE_MAX: Final = 2  # of strangers, and as many of those who are known
HASHES_WAITING_MAX: Final = 6  # threads of each kind, the ones at work among them
HASH_WAIT_S: Final = 2.0


class HashPlaces:
    """Places for one kind of client."""

    def __init__(self) -> None:
        self._threads = threading.BoundedSemaphore(HASHES_WAITING_MAX)
        self._at_work = threading.BoundedSemaphore(HASHES_AT_ONCE_MAX)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place, or raise auth.too_many_attempts when there is none soon."""
        if not self._threads.acquire(blocking=False):
            raise too_many(1)
        try:
            if not self._at_work.acquire(timeout=HASH_WAIT_S):
                raise too_many(1)
            try:
                yield
            finally:
                self._at_work.release()
        finally:
            self._threads.release()


STRANGERS: Final = HashPlaces()
KNOWN: Final = HashPlaces()
