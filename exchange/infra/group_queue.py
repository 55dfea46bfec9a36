"""A bounded queue of groups between many callers and one thread, which takes several at once."""

import asyncio
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class GroupQueue(Generic[T]):
    """Groups of items in their order of arrival, bounded in groups and in items.

    An event loop puts its groups together, at the end of its turn: the first group in the queue
    wakes the thread, which then wants the interpreter. So what a turn reads is taken together.
    """

    def __init__(self, *, groups_max: int, items_max: int) -> None:
        self._groups_max = groups_max
        self._items_max = items_max
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Sequence[T] | None] = SimpleQueue()
        self._turn: list[Sequence[T]] = []  # groups of the event loop's present turn
        self._is_closed = False
        self.waiting = 0  # items in queue and turn

    def empty(self) -> bool:
        """Return whether a taker would wait."""
        return self._queue.empty()

    def put(self, group: Sequence[T]) -> bool:
        """Queue a group; False, and nothing done, where there is no room, or after `close`."""
        with self._lock:
            if not self._has_room(group):
                return False
            self._put(group)
        return True

    def put_in_turn(self, group: Sequence[T], loop: asyncio.AbstractEventLoop) -> bool:
        """Do the same on the loop's thread, at the end of its turn; `close` ends a turn too."""
        with self._lock:
            if not self._has_room(group):
                return False
            self.waiting += len(group)
            self._turn.append(group)
            is_first = len(self._turn) == 1
        if is_first:
            loop.call_soon(self._turn_end)
        return True

    def put_anyway(self, group: Sequence[T]) -> None:
        """Queue a group whatever waits."""
        with self._lock:
            self._put(group)

    def close(self) -> None:
        """Take no more groups; `take` tells the end after those that are queued."""
        with self._lock:
            self._is_closed = True
            self._queue_turn()
            self._queue.put(None)

    def take(self, items_max: int, *, block: bool, timeout_s: float | None) -> tuple[list[T], bool]:
        """Return items of whole groups until they are `items_max`, and whether the end was told.

        With `block` it waits for the first group, `timeout_s` at most.
        """
        items: list[T] = []
        is_end = False
        while len(items) < items_max:
            try:
                group = self._queue.get(block=block and not (items or is_end), timeout=timeout_s)
            except Empty:
                break
            is_end |= group is None
            items += group or ()
        with self._lock:
            self.waiting -= len(items)
        return items, is_end

    def _has_room(self, group: Sequence[T]) -> bool:
        groups = self._queue.qsize() + len(self._turn)
        is_full = groups >= self._groups_max or self.waiting + len(group) > self._items_max
        return not (self._is_closed or is_full)

    def _put(self, group: Sequence[T]) -> None:
        self.waiting += len(group)
        self._queue.put(group)

    def _turn_end(self) -> None:
        with self._lock:
            self._queue_turn()

    def _queue_turn(self) -> None:
        turn, self._turn = self._turn, []
        for group in turn:
            self._queue.put(group)
