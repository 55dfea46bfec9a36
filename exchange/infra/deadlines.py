"""Deadlines on an event loop: one timer for all waits that are equally long.

Nearly every wait ends long before its deadline. A timer of its own would cost each of them a place
in the loop's heap; here it costs an entry in a list.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `act` with each item that is not over `seconds` after it began.

    It looks every `look_every_s`, so `act` may be called that much later. Items that are over are
    let go at the next look, also those behind an item that still waits: their results may be large.
    """

    def __init__(
        self,
        seconds: float,
        *,
        look_every_s: float,
        is_over: Callable[[T], bool],
        act: Callable[[T], None],
    ) -> None:
        self._seconds = seconds
        self._look_every_s = look_every_s
        self._is_over = is_over
        self._act = act
        self._begun: list[tuple[float, T]] = []  # with the time of its deadline
        self._is_looking = False

    def begin(self, item: T) -> None:
        """Begin an item's time, on the event loop that runs."""
        loop = asyncio.get_running_loop()
        self._begun.append((loop.time() + self._seconds, item))
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(self._look_every_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s, is_over = loop.time(), self._is_over
        waiting = [begun for begun in self._begun if not is_over(begun[1])]
        late = [item for ends_s, item in waiting if ends_s <= now_s]
        self._begun = waiting[len(late) :]  # the oldest come first
        self._is_looking = bool(self._begun)
        if self._is_looking:
            loop.call_later(self._look_every_s, self._look, loop)
        for item in late:
            self._act(item)
