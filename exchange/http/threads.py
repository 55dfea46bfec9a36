"""A fixed number of threads that do blocking work for an event loop."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.metrics import WEB_REQUESTS

A = TypeVar("A")
R = TypeVar("R")

REQUESTS_MAX: Final = 1_024  # handed over and not answered: those in threads, and those that wait


class Threads(Generic[A, R]):
    """Calls `work` with what it is given, in one of its threads. `work` never raises.

    An answer costs the loop one wake-up. The standard executor does the same through two futures
    and their locks, which takes several times as long.
    """

    def __init__(
        self, number: int, work: Callable[[A], R], *, waiting_max: int = REQUESTS_MAX
    ) -> None:
        self._work = work
        self._waiting_max = waiting_max
        self._queue: SimpleQueue[tuple[A, asyncio.Future[R]]] = SimpleQueue()
        self.busy = 0  # handed over and not answered; only the loop's thread changes it
        for at in range(number):
            threading.Thread(target=self._run, name=f"request-{at}", daemon=True).start()

    async def call(self, argument: A) -> R:
        """The work's result. Raises server.busy when too much is waiting already."""
        if self.busy >= self._waiting_max:
            raise DomainError(Code.SERVER_BUSY)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._count(1)
        self._queue.put((argument, future))
        try:
            return await future
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self.busy += change
        WEB_REQUESTS.set(self.busy)

    def _run(self) -> None:
        while True:
            argument, future = self._queue.get()
            result = self._work(argument)
            future.get_loop().call_soon_threadsafe(_give, future, result)


def _give(future: "asyncio.Future[R]", result: R) -> None:
    if not future.done():  # the loop may be stopping
        future.set_result(result)
