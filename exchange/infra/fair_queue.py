"""A queue whose owners take turns, so that whoever puts in much waits for himself alone.

Threads take items out (exchange/infra/event_loop.py). Each owner has at most a share of them at
work; a thread that is free takes the oldest item of the owner whose turn it is (round-robin).
"""

import threading
from collections import Counter, deque
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=tuple[Any, ...])


class FairQueue(Generic[T]):
    """Tuples that begin with their owner; `share`: the most of one owner's that are at work."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[str, deque[T]] = {}
        self._at_work: Counter[str] = Counter()
        # Owners of whom an item waits and may begin, each once, the next one first.
        self._turns: deque[str] = deque()

    def put(self, item: T) -> None:
        """Add an item behind those of its owner."""
        owner = item[0]
        with self._changed:
            theirs = self._waiting.setdefault(owner, deque())
            theirs.append(item)
            if len(theirs) == 1:
                self._turn_give(owner)

    def get(self) -> T:
        """Wait for an item that may begin, and return it. `ended` has to follow."""
        with self._changed:
            while not self._turns:
                self._changed.wait()
            owner = self._turns.popleft()
            theirs = self._waiting[owner]
            item = theirs.popleft()
            self._at_work[owner] += 1
            if theirs:
                self._turn_give(owner)
            else:
                del self._waiting[owner]
            return item

    def ended(self, owner: str) -> None:
        """Tell that an item of this owner is no longer at work."""
        with self._changed:
            was_held = self._at_work[owner] == self._share
            self._at_work[owner] -= 1
            if not self._at_work[owner]:
                del self._at_work[owner]
            if was_held and owner in self._waiting:
                self._turn_give(owner)

    def give_way(self, owner: str) -> T | None:
        """Take out the newest item of the owner of whom most wait, or None.

        None: this owner would have as many as anybody, once its next item waits too.
        """
        with self._changed:
            most = max(self._waiting, key=lambda one: len(self._waiting[one]), default=owner)
            left = len(self._waiting.get(most, ())) - 1
            if left < len(self._waiting.get(owner, ())) + 1:
                return None
            return self._waiting[most].pop()

    def _turn_give(self, owner: str) -> None:
        if self._at_work[owner] < self._share:
            self._turns.append(owner)
            self._changed.notify()
