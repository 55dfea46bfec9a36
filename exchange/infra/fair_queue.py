"""A queue whose owners take turns, so that an owner's many items delay only that owner.

Threads take items out (exchange/infra/event_loop.py). Each owner has at most a share of the threads
at work; a free thread takes the oldest item of the owner whose turn it is (round-robin).
"""

import threading
from collections import Counter, deque
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=tuple[Any, ...])


class FairQueue(Generic[T]):
    """A queue of tuples that begin with their owner; `share` bounds an owner's items at work."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[str, deque[T]] = {}
        self._at_work: Counter[str] = Counter()
        # Owners with an item that waits and may begin, each once, the next owner first.
        self._turns: deque[str] = deque()

    def put(self, item: T) -> None:
        """Add an item behind its owner's other items."""
        owner = item[0]
        with self._changed:
            items = self._waiting.setdefault(owner, deque())
            items.append(item)
            if len(items) == 1:
                self._turn_give(owner)

    def get(self) -> T:
        """Wait for an item that may begin; return it. The caller calls `ended` after its work."""
        with self._changed:
            while not self._turns:
                self._changed.wait()
            owner = self._turns.popleft()
            items = self._waiting[owner]
            item = items.popleft()
            self._at_work[owner] += 1
            if items:
                self._turn_give(owner)
            else:
                del self._waiting[owner]
            return item

    def ended(self, owner: str) -> None:
        """Note that an item of this owner is no longer at work."""
        with self._changed:
            was_held = self._at_work[owner] == self._share
            self._at_work[owner] -= 1
            if not self._at_work[owner]:
                del self._at_work[owner]
            if was_held and owner in self._waiting:
                self._turn_give(owner)

    def give_way(self, owner: str) -> T | None:
        """Remove and return the newest item of the owner with the most waiting items.

        None where `owner`, with its next item, would then have more.
        """
        with self._changed:
            most = max(self._waiting, key=lambda name: len(self._waiting[name]), default=owner)
            left = len(self._waiting.get(most, ())) - 1
            if left < len(self._waiting.get(owner, ())) + 1:
                return None
            return self._waiting[most].pop()

    def _turn_give(self, owner: str) -> None:
        if self._at_work[owner] < self._share:
            self._turns.append(owner)
            self._changed.notify()
