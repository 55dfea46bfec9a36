"""Deadlines on an event loop: one timer for all waits that are equally long.

Nearly every wait ends long before its deadline. A timer of its own would cost each of them a place
in the loop's heap; here it costs an entry in a queue.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `act` with each item that is not over `seconds` after it began.

    It looks every `look_every_s`, so `act` may be called that much later. Items that are over are
    let go at the next look.
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
        self._begun: deque[tuple[float, T]] = deque()  # with the time of its deadline
        self._is_looking = False

    def begin(self, item: T) -> None:
        """Begin an item's time, on the event loop that runs."""
        loop = asyncio.get_running_loop()
        self._begun.append((loop.time() + self._seconds, item))
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(self._look_every_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s, begun = loop.time(), self._begun
        while begun and (self._is_over(begun[0][1]) or begun[0][0] <= now_s):
            _, item = begun.popleft()
            if not self._is_over(item):
                self._act(item)
        self._is_looking = bool(begun)
        if begun:
            loop.call_later(self._look_every_s, self._look, loop)
