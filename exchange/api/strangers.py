"""Limit on unknown keys and wrong signatures: counted by network, within this process.

A network over the limit is refused before anything is read or computed. A proven key, which was
right before, is still checked: a stranger behind the same address cannot shut its owner out.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.throttling import now_ms

R = TypeVar("R")

BAD_KEYS: Final = Rate(per_second=5, burst=50)  # for each network
PROVEN_KEYS_MAX: Final = 20_000
_WRONG: Final = (Code.AUTH_KEY_UNKNOWN, Code.AUTH_SIGNATURE_INVALID)


class Strangers:
    """The keys that were right before, and the attempts left to each network."""

    def __init__(self) -> None:
        self.buckets = LocalBuckets(now_ms)
        self._lock = threading.Lock()
        self._proven: OrderedDict[str, None] = OrderedDict()

    def attempt(self, key_id: str, network: Callable[[], str], check: Callable[[], R]) -> R:
        """Return what the check of a key returns, or count its failure.

        An unproven key is counted before its check, and gets its token back if it is right: so
        many concurrent checks cannot exceed the limit either. Raises auth.too_many_attempts.
        """
        is_proven = key_id in self._proven
        if not is_proven:
            self._pay(network())
        try:
            result = check()
        except Exception as error:
            if not isinstance(error, DomainError) or error.code not in _WRONG:
                self._give_back(network, is_proven)  # such as Postgres away: no key was checked
            elif is_proven:
                self._failed(key_id, network, error)
            raise
        self._give_back(network, is_proven)
        self._prove(key_id)
        return result

    def knows(self, key_id: str | None) -> bool:
        """Return whether a key was right before."""
        return key_id in self._proven

    def misspelt(self, key_id: str, network: str) -> None:
        """Count a request whose parts no key could be right with. Raises auth.too_many_attempts."""
        if not self.knows(key_id):
            self._pay(network)

    def forget(self) -> None:
        """Forget all keys and networks (between tests)."""
        self.buckets = LocalBuckets(now_ms)
        self._proven.clear()

    def _pay(self, network: str) -> None:
        wait_ms = self._take(network)
        if wait_ms:
            raise _too_many(wait_ms)

    def _take(self, network: str) -> int:
        return self.buckets.take(network, BAD_KEYS, 1).wait_ms

    def _give_back(self, network: Callable[[], str], is_proven: bool) -> None:
        if not is_proven:
            self.buckets.give_back(network(), BAD_KEYS, 1)

    def _failed(self, key_id: str, network: Callable[[], str], refusal: DomainError) -> None:
        self._take(network())
        if refusal.code is Code.AUTH_KEY_UNKNOWN:  # revoked or expired
            with self._lock:
                self._proven.pop(key_id, None)

    def _prove(self, key_id: str) -> None:
        with self._lock:
            self._proven[key_id] = None
            self._proven.move_to_end(key_id)
            while len(self._proven) > PROVEN_KEYS_MAX:
                self._proven.popitem(last=False)


def _too_many(wait_ms: int) -> DomainError:
    return DomainError(Code.AUTH_TOO_MANY_ATTEMPTS, retry_after_s=-(-wait_ms // 1000))


strangers: Final = Strangers()
