"""An event loop and its threads: nothing blocks the loop, and nothing is lost between them."""

import asyncio
import threading
from typing import Any, cast

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from structlog.contextvars import bind_contextvars, get_contextvars

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import copies
from exchange.infra.copies import Copy
from exchange.infra.event_loop import Threads, on_event_loop, results_give, tasks_end
from exchange.infra.lookups import here_or_thread, in_thread, lookups
from exchange.infra.metrics import WEB_LOOKUPS
from exchange.realtime.feed import FeedHub
from exchange.realtime.subscriber import FeedSubscriber
from tests.waiting import HANG_S, wait_until

pytestmark = pytest.mark.asyncio


def memory_alone() -> str:
    return threading.current_thread().name


def reads_something() -> str:
    if on_event_loop():
        raise SynchronousOnlyOperation
    return threading.current_thread().name


async def test_what_is_in_memory_is_answered_here_and_the_rest_in_a_thread() -> None:
    assert await here_or_thread(memory_alone) == threading.current_thread().name
    assert (await here_or_thread(reads_something)).startswith("lookup")


async def test_a_thread_has_the_words_of_the_log_and_raises_what_it_meets() -> None:
    bind_contextvars(request_id="of-this-one")
    assert (await in_thread(get_contextvars))["request_id"] == "of-this-one"

    def refuse() -> None:
        raise DomainError(Code.ORDER_NOT_FOUND)

    with pytest.raises(DomainError) as refused:
        await in_thread(refuse)
    assert refused.value.code is Code.ORDER_NOT_FOUND


async def test_a_refusal_here_is_no_reason_to_ask_a_thread() -> None:
    asked = 0

    def refuse() -> None:
        nonlocal asked
        asked += 1
        raise DomainError(Code.ORDER_NOT_FOUND)

    with pytest.raises(DomainError):
        await here_or_thread(refuse)
    assert asked == 1


async def test_too_much_waiting_is_refused() -> None:
    release = threading.Event()
    threads: Threads[int, bool] = Threads(
        1,
        lambda _: release.wait(HANG_S),
        name="test",
        waiting_max=2,
        answer_s=HANG_S,
        busy=WEB_LOOKUPS,
    )
    calls = [asyncio.ensure_future(threads.call(at)) for at in range(3)]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    refusals = [call.exception() for call in done]
    assert [type(one) for one in refusals] == [DomainError]
    release.set()
    assert await asyncio.gather(*calls[:2]) == [True, True]


async def test_results_reach_those_who_wait_and_nobody_who_gave_up() -> None:
    loop = asyncio.get_running_loop()
    waiting, gone = loop.create_future(), loop.create_future()
    gone.cancel()
    results_give([(gone, 1), (waiting, 2)])
    assert await waiting == 2


class ClosingLoop(asyncio.SelectorEventLoop):
    """A loop that closes just after somebody asked whether it is."""

    seems_open = False

    def is_closed(self) -> bool:
        return not self.seems_open and super().is_closed()


async def test_a_loop_that_closes_meanwhile_costs_the_others_nothing() -> None:
    closing = ClosingLoop()
    nobodys = closing.create_future()
    closing.close()
    waiting = asyncio.get_running_loop().create_future()
    closing.seems_open = True
    try:
        results_give([(nobodys, 1), (waiting, 2)])
    finally:
        closing.seems_open = False
    assert await waiting == 2


async def test_what_waited_too_long_for_a_thread_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exchange.infra.lookups.LOOKUP_WAIT_S", -1.0)
    begun: list[int] = []
    with pytest.raises(DomainError) as refused:
        await in_thread(begun.append, 1)
    assert refused.value.code is Code.SERVER_BUSY
    assert begun == []


async def test_a_thread_that_hangs_holds_nobody_who_waits_and_begins_nothing_late() -> None:
    release, begun = threading.Event(), threading.Semaphore(0)
    ran: list[int] = []

    def hang(at: int) -> None:
        ran.append(at)
        begun.release()
        assert release.wait(HANG_S)

    threads: Threads[int, None] = Threads(
        1, hang, name="test", waiting_max=3, answer_s=0.01, busy=WEB_LOOKUPS
    )
    first = asyncio.ensure_future(threads.call(1))
    assert await asyncio.to_thread(begun.acquire, timeout=HANG_S)
    late = await asyncio.gather(first, *map(threads.call, (2, 3)), return_exceptions=True)
    assert [type(one) for one in late] == [TimeoutError] * 3
    assert threads.busy == 3, "what a thread still has in hand takes places"
    with pytest.raises(DomainError) as refused:
        await threads.call(4)
    assert refused.value.code is Code.SERVER_BUSY
    release.set()
    await asyncio.to_thread(wait_until, lambda: threads.busy == 0, "the thread goes on")
    assert ran == [1]


async def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(lookups(), "answer_s", 0.01)
    with pytest.raises(DomainError) as refused:
        await in_thread(release.wait, HANG_S)
    release.set()
    assert refused.value.code is Code.SERVER_BUSY


class Away(Exception):
    pass


async def test_a_reading_that_fails_fails_for_all_who_waited_for_it() -> None:
    """One after another they would each have waited as long as the first, times their number."""
    failing, may_fail = threading.Event(), threading.Event()
    readings: list[None] = []
    now: list[None] = []  # looked at by all who ask before they wait, and twice more by who reads

    def now_s() -> float:
        now.append(None)
        return float(len(now))

    def read() -> None:
        readings.append(None)
        if failing.is_set():
            assert may_fail.wait(HANG_S)
            raise Away

    copy = Copy(read, age_max_s=0, stale_max_s=0, now_s=now_s)
    await in_thread(copy.reading)
    failing.set()
    readings.clear()
    now.clear()
    asking = [asyncio.ensure_future(in_thread(copy.reading)) for _ in range(6)]
    await asyncio.to_thread(wait_until, lambda: len(now) == 6 + 2, "all ask, one reads")
    may_fail.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in outcomes] == [Away] * 6
    assert len(readings) == 1
    with pytest.raises(Away):
        await in_thread(copy.reading)
    assert len(readings) == 2, "who comes later tries anew"


async def test_who_waits_for_a_reading_that_hangs_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copies, "WAIT_S", 0.01)
    reading, release = threading.Event(), threading.Event()

    def read() -> bool:
        reading.set()
        return release.wait(HANG_S)

    copy = Copy(read, age_max_s=1)
    first = asyncio.ensure_future(in_thread(copy.get))
    await asyncio.to_thread(reading.wait, HANG_S)
    with pytest.raises(DomainError) as refused:
        await in_thread(copy.get)
    assert refused.value.code is Code.SERVER_BUSY
    release.set()
    assert await first is True


async def test_a_loop_neither_reads_a_copy_nor_waits_for_who_does() -> None:
    now, reading, may_go_on = [0.0], threading.Event(), threading.Event()

    def read() -> float:
        reading.set()
        assert may_go_on.wait(HANG_S)
        return now[0]

    copy = Copy(read, age_max_s=2, stale_max_s=4, now_s=lambda: now[0])
    with pytest.raises(SynchronousOnlyOperation):
        copy.get()
    may_go_on.set()
    assert await in_thread(copy.get) == copy.get() == 0.0
    now[0] = 2.0
    with pytest.raises(SynchronousOnlyOperation):
        copy.get()
    reading.clear()
    may_go_on.clear()
    refreshing = asyncio.ensure_future(in_thread(copy.get))
    await asyncio.sleep(0)  # it is handed over
    await asyncio.to_thread(reading.wait, HANG_S)
    assert copy.get() == 0.0  # somebody reads, and what is there is young enough
    now[0] = 4.0
    with pytest.raises(SynchronousOnlyOperation):
        copy.get()
    may_go_on.set()
    assert await refreshing == 4.0


async def test_a_task_that_swallows_a_cancellation_is_told_again() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    async def failing() -> None:
        raise ValueError

    tasks = [asyncio.ensure_future(deaf()), asyncio.ensure_future(failing())]
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks_end(*tasks), HANG_S)
    assert swallowed == 1
    assert [task.done() for task in tasks] == [True, True]


async def test_the_feed_stops_though_its_subscription_swallows_a_cancellation() -> None:
    """`asyncio.wait_for` of Python 3.11 loses one that comes as its call ends."""

    class Server:
        """Stands for Redis: its answer to a subscription comes just as the reader is stopped."""

        def pubsub(self) -> "Server":
            return self

        async def __aenter__(self) -> "Server":
            return self

        async def __aexit__(self, *raised: object) -> None: ...

        async def subscribe(self, channel: str) -> None:
            subscribing.set()
            await answer.wait()

        async def get_message(self, timeout: float) -> None:  # redis-py's word
            await asyncio.sleep(0)

        async def ping(self) -> None: ...

        async def aclose(self) -> None: ...

    subscribing, answer = asyncio.Event(), asyncio.Event()
    subscriber = FeedSubscriber(FeedHub(), redis_factory=cast(Any, Server))
    subscriber.start()
    await subscribing.wait()
    answer.set()
    await asyncio.sleep(0)  # the answer is there, and nobody has read it yet
    await asyncio.wait_for(subscriber.stop(), HANG_S)
