"""Look-ups of an event loop: what is not in memory is read in threads.

Orders' look-ups, users' reads and strangers' reads have threads of their own each, so that none of
them waits for another kind.
"""

import contextvars
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, ParamSpec, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from prometheus_client import Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import Threads, on_event_loop
from exchange.infra.metrics import WEB_LOOKUPS, WEB_PUBLIC_READS, WEB_READS

R = TypeVar("R")
P = ParamSpec("P")

LOOKUP_THREADS: Final = 8
LOOKUPS_MAX: Final = 1_024  # in threads, and waiting for one
READ_THREADS: Final = 8
READ_THREADS_OF_OWNER: Final = 4
READS_MAX: Final = 1_024  # in threads, and waiting for one
LOOKUP_WAIT_S: Final = 5.0  # for a thread; a look-up that waited longer is refused
LOOKUP_ANSWER_S: Final = 8.0  # for an answer; a thread may hang

Lookup = tuple[Callable[[], Any], float]  # a call, and its latest begin by time.monotonic
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
    return await _read(reads, owner, partial(work, *args, **kwargs))


async def public_read(network: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the same for strangers, in threads apart at which networks take turns.

    A stranger may have any number of networks, so turns alone would not keep users' reads going.
    """
    return await _read(public_reads, network, partial(work, *args, **kwargs))


async def _read(threads: Callable[[], LookupThreads], owner: str, work: Callable[[], R]) -> R:
    return await _result(threads(), owner, work) if on_event_loop() else work()


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
