"""Work that an event loop hands to threads, so that the loop never blocks.

A thread with several results for a loop wakes the loop once.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.core.exceptions import SynchronousOnlyOperation
from prometheus_client import Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.deadlines import Deadlines
from exchange.infra.fair_queue import FairQueue

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")

CANCEL_AGAIN_S: Final = 0.1
LOOK_EVERY_S: Final = 0.2  # for waits beyond their deadlines

FutureResult = tuple["asyncio.Future[R]", R]
Waiting = tuple[str, A, "asyncio.Future[R]"]  # an owner, an argument, and the result to come
# The deadlines of each loop, by the length of the wait: a few named bounds.
_deadlines: Final["WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Deadlines[Any]]]"] = (
    WeakKeyDictionary()
)


def on_event_loop() -> bool:
    """Return whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def threads_only() -> None:
    """Raise SynchronousOnlyOperation on an event loop: the caller is about to block."""
    if on_event_loop():
        raise SynchronousOnlyOperation


async def in_time(future: "asyncio.Future[R]", seconds: float) -> R:
    """Return the result that a thread gives a future. Raises TimeoutError after `seconds`.

    No wait on a loop is endless: a thread may hang in a call without a deadline of its own (a
    server that stands still, a name that does not resolve).
    """
    deadline_set(future, seconds)
    return await future


def deadline_set(future: "asyncio.Future[Any]", seconds: float) -> None:
    """Make a future of the loop that runs raise TimeoutError where it has no result in time."""
    by_seconds = _deadlines.setdefault(future.get_loop(), {})
    deadlines = by_seconds.get(seconds)
    if deadlines is None:
        deadlines = by_seconds[seconds] = Deadlines(
            seconds, look_every_s=min(LOOK_EVERY_S, seconds), is_over=_is_done, act=_give_up
        )
    deadlines.begin(future)


def _is_done(future: "asyncio.Future[Any]") -> bool:
    return future.done()


def _give_up(future: "asyncio.Future[Any]") -> None:
    future.set_exception(TimeoutError())


def results_give(results: "Iterable[FutureResult[Any]]") -> None:
    """Set the results of futures from a thread, with one wake-up of each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[FutureResult[Any]]] = defaultdict(list)
    for future, result in results:
        by_loop[future.get_loop()].append((future, result))
    for loop, loop_results in by_loop.items():
        if not loop.is_closed():  # nobody waits on a closed loop
            with suppress(RuntimeError):  # the loop closed meanwhile
                loop.call_soon_threadsafe(_give, loop_results)


def _give(results: "Iterable[FutureResult[Any]]") -> None:
    for future, result in results:
        if not future.done():  # its waiter may have given up
            future.set_result(result)


async def tasks_end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended, whatever they raise.

    A task may swallow a cancellation: `asyncio.wait_for` of Python 3.11 does so where its call ends
    in the same moment, and so does a look-up in a thread. The cancellation is repeated then.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # marks their exceptions as seen


class Threads(Generic[A, R]):
    """Threads that call `work` with the arguments of an event loop. `work` never raises.

    With a `share`, owners of calls take turns, and each has at most so many threads at work.
    The standard executor takes several times as long, through two futures and their locks.
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
        share: int | None = None,
    ) -> None:
        self._work = work
        self.waiting_max = waiting_max
        self.answer_s = answer_s
        self._gauge = busy
        self._fair: FairQueue[Waiting[A, R]] | None = FairQueue(share) if share else None
        self._queue: SimpleQueue[Waiting[A, R]] | FairQueue[Waiting[A, R]]
        self._queue = self._fair or SimpleQueue()
        self._taken = 0  # only the loop's thread changes it
        self._ended = 0
        self._ending = threading.Lock()
        for at in range(number):
            threading.Thread(target=self._run, name=f"{name}-{at}", daemon=True).start()

    @property
    def busy(self) -> int:
        """Calls that were handed over and have not ended, with or without a waiter."""
        return self._taken - self._ended

    async def call(self, argument: A, owner: str = "") -> R:
        """Return the result of `work`.

        Raises server.busy when too many calls wait already, or when this call gives way to an owner
        with fewer calls. Raises TimeoutError when there is no result after `answer_s`: a call that
        has not begun by then never does.
        """
        if self.busy >= self.waiting_max and not self._make_room(owner):
            raise DomainError(Code.SERVER_BUSY)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._taken += 1
        self._gauge.set(self.busy)
        self._queue.put((owner, argument, future))
        try:
            return await in_time(future, self.answer_s)
        finally:
            self._gauge.set(self.busy)

    def _make_room(self, owner: str) -> bool:
        """Return whether a call of an owner with more waiting calls was given up."""
        given_up = None if self._fair is None else self._fair.give_way(owner)
        if given_up is None:
            return False
        self._end()
        _, _, future = given_up
        if not future.done():  # its waiter may have given up
            future.set_exception(DomainError(Code.SERVER_BUSY))
        return True

    def _end(self) -> None:
        with self._ending:
            self._ended += 1

    def _run(self) -> None:
        while True:
            owner, argument, future = self._queue.get()
            results = [] if future.done() else [(future, self._work(argument))]
            if self._fair is not None:
                self._fair.ended(owner)
            self._end()
            results_give(results)


def off_loop(work: Coroutine[Any, Any, R]) -> R:
    """Return what a coroutine returns or raises in a thread without a loop.

    There our awaits block instead of waiting (`here_or_thread`, Intake.submitted, guard.checked),
    so the coroutine runs to its end at once.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    work.close()
    raise AssertionError("a coroutine waited where no event loop runs")
