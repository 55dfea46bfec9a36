"""orders.intake asked from an event loop: the answers of a thread, one wake-up for many."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.infra.lookups import here_or_thread
from orders.intake import jobs as intake_jobs
from orders.intake import process, thread
from orders.intake.decisions import StreamEntry
from orders.intake.jobs import Accepted
from orders.intake.process import intake as intake_of_process
from orders.intake.process import intake_stop
from orders.intake.thread import Intake
from orders.models import Order
from tests.factories.intake import connection_after, intake_start
from tests.factories.market import Market, MemoryPublisher
from tests.waiting import HANG_S, wait_until

ORDERS = 60


async def asked(intake: Intake, market: Market, number: int) -> list[Any]:
    """What so many orders at once are answered, refusals among it."""
    jobs = [market.place_job(0, Side.BUY, 1, 100) for _ in range(number)]
    return await asyncio.gather(*(intake.submitted(job) for job in jobs), return_exceptions=True)


def codes(answers: list[Any]) -> list[Code]:
    return [answer.code for answer in answers if isinstance(answer, DomainError)]


def test_a_batch_wakes_the_loop_once_and_blocks_it_never(market: Market) -> None:
    """The connection opens when the loop says so: a loop that waited for intake never would."""
    may_open = threading.Event()

    intake = intake_start(market, open_connection=connection_after(may_open))
    woken = 0

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal woken
            woken += 1
            return wake(*args, **options)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]
        answering = asyncio.ensure_future(asked(intake, market, ORDERS))
        while intake.waiting < ORDERS - 1:  # the first one is being committed
            await asyncio.sleep(0)
        may_open.set()
        return await answering

    answers = asyncio.run(run())
    intake.stop()
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert Order.objects.count() == ORDERS
    assert woken <= 2


def test_refusals_are_raised_each_for_itself(market: Market) -> None:
    intake = intake_start(market)

    async def run() -> list[Any]:
        jobs = [market.place_job(0, Side.BUY, lots, 100) for lots in (1, 10**12, 1)]
        return await asyncio.gather(
            *(intake.submitted(job) for job in jobs), return_exceptions=True
        )

    answers = asyncio.run(run())
    intake.stop()
    assert [type(answer) for answer in answers] == [Accepted, DomainError, Accepted]
    assert codes(answers) == [Code.FUNDS_INSUFFICIENT]
    assert Order.objects.count() == 2


def test_an_answer_that_does_not_come_in_time_is_unknown(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_jobs, "ANSWER_S", 0.01)
    may_open = threading.Event()

    intake = intake_start(market, open_connection=connection_after(may_open))
    answers = asyncio.run(asked(intake, market, 3))
    assert codes(answers) == [Code.ENGINE_OUTCOME_UNKNOWN] * 3
    may_open.set()  # the loop is gone by now; the orders are durable all the same
    wait_until(lambda: Order.objects.count() == 3, lambda: "orders")
    monkeypatch.setattr(thread, "STOP_S", HANG_S)
    intake.stop()


def test_what_the_queue_does_not_take_is_refused_at_once(market: Market) -> None:
    may_open = threading.Event()

    intake = intake_start(
        market, open_connection=connection_after(may_open), queue_max=5, batch_max=1
    )

    async def run() -> list[Any]:
        answering = asyncio.ensure_future(asked(intake, market, ORDERS))
        await asyncio.sleep(0)
        may_open.set()
        return await answering

    answers = asyncio.run(run())
    intake.stop()
    busy = codes(answers)
    assert set(busy) == {Code.ENGINE_BUSY}
    assert Order.objects.count() == ORDERS - len(busy) >= 5


def test_the_jobs_of_a_batch_are_bounded_and_a_request_is_taken_whole_or_not(
    market: Market,
) -> None:
    may_open = threading.Event()
    intake = intake_start(market, open_connection=connection_after(may_open), jobs_max=5)
    intake.put(market.place_job(0, Side.BUY, 1, 100))
    wait_until(lambda: not intake.waiting, "the first one is taken off the queue")

    def request(jobs: int) -> Any:
        return intake.submitted_all([market.place_job(0, Side.BUY, 1, 100) for _ in range(jobs)])

    async def run() -> list[Any]:
        answering = asyncio.gather(request(3), request(3), request(2), return_exceptions=True)
        await asyncio.sleep(0)
        may_open.set()
        return await answering

    three, refused, two = asyncio.run(run())
    intake.stop()
    assert codes([refused]) == [Code.ENGINE_BUSY]
    assert [isinstance(answer, Accepted) for answer in three + two] == [True] * 5
    assert (Order.objects.count(), intake.waiting) == (1 + 5, 0)


def test_a_batch_takes_whole_requests(market: Market) -> None:
    """So that no answer waits for a second commit, of the rest of its request."""
    may_open = threading.Event()
    publisher = BatchesPublisher()
    intake = intake_start(
        market, open_connection=connection_after(may_open), publisher=publisher, batch_max=4
    )
    first = market.place_job(0, Side.BUY, 1, 100)
    intake.put(first)
    wait_until(lambda: not intake.waiting, "the first one is taken off the queue")

    async def run() -> None:
        requests = [[market.place_job(0, Side.BUY, 1, 100) for _ in range(3)] for _ in range(3)]
        answering = asyncio.gather(*(intake.submitted_all(jobs) for jobs in requests))
        await asyncio.sleep(0)
        may_open.set()
        await answering

    asyncio.run(run())
    intake.stop()
    assert publisher.batches == [1, 6, 3]


class BatchesPublisher(MemoryPublisher):
    """Remembers how many commands each batch published."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        self.batches.append(len(entries))
        super().publish(entries)


def test_stop_leaves_nobody_without_an_answer(market: Market) -> None:
    intake = intake_start(market, batch_max=4)

    async def run() -> list[Any]:
        answering = asyncio.ensure_future(asked(intake, market, ORDERS))
        await asyncio.sleep(0)
        await asyncio.to_thread(intake.stop)
        return await asyncio.wait_for(answering, HANG_S)

    answers = asyncio.run(run())
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert Order.objects.count() == len(accepted)
    assert set(codes(answers)) <= {Code.ENGINE_BUSY}


def test_a_loop_does_not_wait_for_the_thread_that_starts_intake(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_go_on = threading.Event(), threading.Event()

    def number_asked() -> int:
        began.set()
        assert may_go_on.wait(HANG_S)
        return 7

    monkeypatch.setattr(process, "node_number", number_asked)
    intake_stop()

    async def run() -> Intake:
        starting = asyncio.ensure_future(here_or_thread(intake_of_process))
        while not began.is_set():
            await asyncio.sleep(0)
        other = asyncio.ensure_future(here_or_thread(intake_of_process))
        await asyncio.sleep(0)  # a loop that waited for the lock would not come back from this
        may_go_on.set()
        first, second = await asyncio.gather(starting, other)
        assert first is second
        return first

    assert asyncio.run(run()).waiting == 0
    intake_stop()
