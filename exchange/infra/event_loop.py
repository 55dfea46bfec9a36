"""Work that an event loop hands to threads, so that the loop never blocks.

A thread with several results for a loop wakes the loop once.
"""

import asyncio
import contextvars
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from prometheus_client import Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.deadlines import Deadlines
from exchange.infra.fair_queue import FairQueue
from exchange.infra.metrics import WEB_LOOKUPS, WEB_PUBLIC_READS, WEB_READS

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")

LOOKUP_THREADS: Final = 8
LOOKUPS_MAX: Final = 1_024  # in threads, and waiting for one
CANCEL_AGAIN_S: Final = 0.1
READ_THREADS: Final = 8
READ_THREADS_OF_OWNER: Final = 4
READS_MAX: Final = 1_024  # in threads, and waiting for one
LOOKUP_WAIT_S: Final = 5.0  # for a thread; a look-up that waited longer is refused
LOOK_EVERY_S: Final = 0.2  # for waits beyond their deadlines
LOOKUP_ANSWER_S: Final = 8.0  # for an answer; a thread may hang

FutureResult = tuple["asyncio.Future[R]", R]
Waiting = tuple[str, A, "asyncio.Future[R]"]  # an owner, an argument, and the result to come
# The deadlines of each loop, by the length of the wait: a few named bounds.
_deadlines: Final["WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Deadlines[Any]]]"] = (
    WeakKeyDictionary()
)
Lookup = tuple[Callable[[], Any], float]  # a call, and its latest begin by time.monotonic


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


LookupThreads = Threads[Lookup, tuple[Any, Exception | None]]


async def here_or_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `work` here where all its data is in memory, else in a thread; return its result.

    A read from the database or from Redis raises SynchronousOnlyOperation on a loop, as Django's
    own connections do. `work` must have changed nothing before: it is called again in a thread.
    """
    try:
        return work(*args, **kwargs)
    except SynchronousOnlyOperation:
        return await in_thread(work, *args, **kwargs)


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `work` in a thread; return its result or raise its error.

    Raises server.busy when too many calls wait, when no thread was free in LOOKUP_WAIT_S, and when
    there is no result after LOOKUP_ANSWER_S. A call that has not begun by then never does: an order
    must not enter the market minutes after it was signed.
    """
    return await _result(lookups(), "", partial(work, *args, **kwargs))


async def read(owner: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `work`, which only reads for an answer; on a loop in a thread for such reads.

    These threads are not those of orders' look-ups, and owners take turns at them: reads delay the
    reads of their own owner. Raises what `in_thread` raises.
    """
    if not on_event_loop():
        return work(*args, **kwargs)
    return await _result(reads(), owner, partial(work, *args, **kwargs))


async def public_read(network: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the same for strangers, in threads apart at which networks take turns.

    A stranger may have any number of networks, so turns alone would not keep users' reads going.
    """
    if not on_event_loop():
        return work(*args, **kwargs)
    return await _result(public_reads(), network, partial(work, *args, **kwargs))


async def _result(threads: LookupThreads, owner: str, work: Callable[[], R]) -> R:
    call = partial(contextvars.copy_context().run, work)
    try:
        result, error = await threads.call((call, time.monotonic() + LOOKUP_WAIT_S), owner)
    except TimeoutError:
        raise DomainError(Code.SERVER_BUSY) from None
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # results are of any type


def _outcome(lookup: Lookup) -> tuple[Any, Exception | None]:
    work, begin_until_s = lookup
    if time.monotonic() > begin_until_s:
        return None, DomainError(Code.SERVER_BUSY)
    try:
        return work(), None
    except Exception as error:  # `in_thread` raises it
        return None, error
    finally:
        connections.close_all()


@cache
def lookups() -> LookupThreads:
    """Return the threads of this process for look-ups that would block its loop."""
    return Threads(
        LOOKUP_THREADS,
        _outcome,
        name="lookup",
        waiting_max=LOOKUPS_MAX,
        answer_s=LOOKUP_ANSWER_S,
        busy=WEB_LOOKUPS,
    )


@cache
def reads() -> LookupThreads:
    """Return the threads of this process that read for users' answers."""
    return _read_threads("read", WEB_READS)


@cache
def public_reads() -> LookupThreads:
    """Return the threads of this process that read for strangers."""
    return _read_threads("public-read", WEB_PUBLIC_READS)


def _read_threads(name: str, busy: Gauge) -> LookupThreads:
    return Threads(
        READ_THREADS,
        _outcome,
        name=name,
        waiting_max=READS_MAX,
        answer_s=LOOKUP_ANSWER_S,
        busy=busy,
        share=READ_THREADS_OF_OWNER,
    )
