"""What an event loop and threads do for each other: a loop blocks on nothing, ever.

A thread that has answers for a loop wakes it once for all of them.
"""

import asyncio
import contextvars
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, Final, Generic, ParamSpec, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from prometheus_client import Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.metrics import WEB_LOOKUPS

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")

LOOKUP_THREADS: Final = 8
LOOKUPS_MAX: Final = 1_024  # handed over and not answered: those in threads, and those that wait
CANCEL_AGAIN_S: Final = 0.1
LOOKUP_WAIT_S: Final = 5.0  # who waited longer for a thread is refused: nothing is begun late
LOOKUP_ANSWER_S: Final = 8.0  # and who waited longer for an answer: its thread may hang

Given = tuple["asyncio.Future[R]", R]
Lookup = tuple[Callable[[], Any], float]  # and until when it may begin, by time.monotonic


def on_event_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def threads_only() -> None:
    """Raise SynchronousOnlyOperation on an event loop: what follows may block."""
    if on_event_loop():
        raise SynchronousOnlyOperation


async def in_time(future: "asyncio.Future[R]", seconds: float) -> R:
    """What a thread gives the future. Raises TimeoutError when it gave nothing in so many seconds.

    Nobody waits on a loop without an end: a thread may hang in what has no deadline of its own (a
    server that stands still, a name that is not resolved).
    """
    late = future.get_loop().call_later(seconds, _give_up, future)
    try:
        return await future
    finally:
        late.cancel()


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def results_give(results: "Iterable[Given[Any]]") -> None:
    """From a thread: set the results of futures, with one wake-up of each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Given[Any]]] = defaultdict(list)
    for future, result in results:
        by_loop[future.get_loop()].append((future, result))
    for loop, theirs in by_loop.items():
        if not loop.is_closed():  # else nobody waits any more
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(_give, theirs)


def _give(results: "Iterable[Given[Any]]") -> None:
    for future, result in results:
        if not future.done():  # who waited may have given up
            future.set_result(result)


async def tasks_end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended, whatever they raise.

    A task may swallow a cancellation: in Python 3.11 `asyncio.wait_for` does where its call ends in
    the same moment, and so does a look-up in a thread. It is told again.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # what they raised was looked at


class Threads(Generic[A, R]):
    """Calls `work` with what it is given, in one of its threads. `work` never raises.

    The standard executor does the same through two futures and their locks, which takes several
    times as long.
    """

    def __init__(
        self,
        number: int,
        work: Callable[[A], R],
        *,
        name: str,
        waiting_max: int,
        answer_s: float,
        busy: Gauge,
    ) -> None:
        self._work = work
        self.waiting_max = waiting_max
        self.answer_s = answer_s
        self._gauge = busy
        self._queue: SimpleQueue[tuple[A, asyncio.Future[R]]] = SimpleQueue()
        self._taken = 0  # only the loop's thread changes it
        self._ended = 0
        self._ending = threading.Lock()
        for at in range(number):
            threading.Thread(target=self._run, name=f"{name}-{at}", daemon=True).start()

    @property
    def busy(self) -> int:
        """What was handed over and has not ended, whether or not anybody still waits for it."""
        return self._taken - self._ended

    async def call(self, argument: A) -> R:
        """The work's result.

        Raises server.busy when too much is waiting already, and TimeoutError when there is no
        result after `answer_s`: what is not begun by then never is.
        """
        if self.busy >= self.waiting_max:
            raise DomainError(Code.SERVER_BUSY)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._taken += 1
        self._gauge.set(self.busy)
        self._queue.put((argument, future))
        try:
            return await in_time(future, self.answer_s)
        finally:
            self._gauge.set(self.busy)

    def _run(self) -> None:
        while True:
            argument, future = self._queue.get()
            results = [] if future.done() else [(future, self._work(argument))]
            with self._ending:
                self._ended += 1
            results_give(results)


async def here_or_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `work` returns or raises: at once where all it needs is in memory, else in a thread.

    Whatever reads from a database or from Redis raises SynchronousOnlyOperation on a loop, as
    Django's own connections do. `work` must have changed nothing by then: it is called again.
    """
    try:
        return work(*args, **kwargs)
    except SynchronousOnlyOperation:
        return await in_thread(work, *args, **kwargs)


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `work` returns or raises in a thread.

    Raises server.busy when too much is waiting, when no thread was free in LOOKUP_WAIT_S, and when
    there is no result after LOOKUP_ANSWER_S. What was not begun by then never is, as an order must
    not enter the market minutes after it was signed.
    """
    call = partial(contextvars.copy_context().run, work, *args, **kwargs)
    try:
        result, error = await lookups().call((call, time.monotonic() + LOOKUP_WAIT_S))
    except TimeoutError:
        raise DomainError(Code.SERVER_BUSY) from None
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # what the threads pass on is of any type


def _outcome(asked: Lookup) -> tuple[Any, Exception | None]:
    work, begin_until_s = asked
    if time.monotonic() > begin_until_s:
        return None, DomainError(Code.SERVER_BUSY)
    try:
        return work(), None
    except Exception as error:  # raised again where it was asked for
        return None, error
    finally:
        connections.close_all()


@cache
def lookups() -> Threads[Lookup, tuple[Any, Exception | None]]:
    """The threads of this process that look up what its loop may not wait for."""
    return Threads(
        LOOKUP_THREADS,
        _outcome,
        name="lookup",
        waiting_max=LOOKUPS_MAX,
        answer_s=LOOKUP_ANSWER_S,
        busy=WEB_LOOKUPS,
    )
