"""Intake under faults: what is answered is durable, what is not durable is not answered."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from exchange.database import connect
from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.domain.ids import IdGenerator
from orders.intake.decide import Entry
from orders.intake.jobs import Accepted, Job
from orders.intake.publish import PUBLISH_FAILED, RedisPublisher
from orders.intake.thread import BATCH_MAX, Intake
from orders.models import ClientOrderId, Order
from tests.factories.market import Market, Outbox, market_make


@pytest.fixture
def market(transactional_db: None) -> Market:
    return market_make(ids=IdGenerator(9, lambda: time.time_ns() // 1_000_000), accounts=2)


def intake_start(
    market: Market,
    *,
    open_connection: Callable[[], psycopg.Connection[Any]] | None = None,
    publisher: Any = None,
    **bounds: int,
) -> Intake:
    return Intake(
        open_connection=open_connection or (lambda: connect("test-intake")),
        publisher=publisher or Outbox(),
        next_id=market.ids.next_id,
        **bounds,
    )


def submit_all(intake: Intake, jobs: Sequence[Job]) -> None:
    """Submit together and wait for all; refusals stay in the jobs' outcomes."""

    def one(job: Job) -> None:
        try:
            intake.submit(job)
        except DomainError:
            assert job.outcome is not None

    threads = [threading.Thread(target=one, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_database_away_is_unavailable_and_comes_back_by_itself(market: Market) -> None:
    is_away = True

    def open_connection() -> psycopg.Connection[Any]:
        if is_away:
            raise psycopg.OperationalError("connection refused")
        return connect("test-intake")

    intake = intake_start(market, open_connection=open_connection)
    with pytest.raises(DomainError) as refusal:
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    assert refusal.value.code is Code.ENGINE_UNAVAILABLE
    is_away = False
    assert isinstance(intake.submit(market.place_job(0, Side.BUY, 1, 100)), Accepted)
    intake.stop()
    assert Order.objects.count() == 1


def test_connection_killed_between_batches_costs_one_answer(market: Market) -> None:
    intake = intake_start(market)
    intake.submit(market.place_job(0, Side.BUY, 1, 100))
    with connect("test-killer") as killer:
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'takas-test-intake'"
        )
    with pytest.raises(DomainError) as refusal:
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    assert refusal.value.code is Code.ENGINE_UNAVAILABLE
    assert isinstance(intake.submit(market.place_job(0, Side.BUY, 1, 100)), Accepted)
    intake.stop()
    assert Order.objects.count() == 2


def test_a_member_that_breaks_the_batch_does_not_fail_its_neighbours(market: Market) -> None:
    """An id that exists already makes the whole INSERT fail: only its own job may suffer."""
    queued = threading.Event()

    def slow_connection() -> psycopg.Connection[Any]:
        queued.wait(5)
        return connect("test-intake")

    first = market.place_job(0, Side.BUY, 1, 100)
    poisoned = market.place_job(0, Side.BUY, 1, 100)
    good = [market.place_job(1, Side.SELL, 1, 100) for _ in range(5)]
    calls = itertools.count()

    def next_id() -> int:
        # Once for the first job; then the batch of six; then its members one by one.
        return first.command_id if next(calls) in (1, 7) else market.ids.next_id()

    intake = Intake(open_connection=slow_connection, publisher=Outbox(), next_id=next_id)
    for job in [first, poisoned, *good]:
        job.expires_at = time.monotonic() + 5
        intake._queue.put(job)
        time.sleep(0.01 if job is first else 0)  # the thread takes it alone, and waits
    queued.set()
    assert all(job.wait(5) for job in [first, poisoned, *good])
    intake.stop()
    assert isinstance(poisoned.outcome, DomainError)
    assert poisoned.outcome.code is Code.INTERNAL_ERROR
    assert all(isinstance(job.outcome, Accepted) for job in [first, *good])
    assert next(calls) == 13, "the batch of six was tried together before its members"
    assert Order.objects.count() == ClientOrderId.objects.count() == 6


def test_full_queue_is_busy_and_takes_nothing(market: Market) -> None:
    release = threading.Event()

    def slow_connection() -> psycopg.Connection[Any]:
        release.wait(5)
        return connect("test-intake")

    intake = intake_start(market, open_connection=slow_connection, queue_max=3)
    jobs = [market.place_job(0, Side.BUY, 1, 100) for _ in range(4)]
    threads = [threading.Thread(target=intake.submit, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # the first one is taken off the queue, three fill it
    with pytest.raises(DomainError) as refusal:
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    assert refusal.value.code is Code.ENGINE_BUSY
    release.set()
    for thread in threads:
        thread.join()
    intake.stop()
    assert Order.objects.count() == 4


def test_a_request_that_waited_too_long_is_not_begun(market: Market) -> None:
    intake = intake_start(market)
    job = market.place_job(0, Side.BUY, 1, 100)
    job.expires_at = time.monotonic() - 1
    intake._queue.put(job)
    assert job.wait(5)
    assert isinstance(job.outcome, DomainError)
    assert job.outcome.code is Code.ENGINE_BUSY
    intake.stop()
    assert not Order.objects.exists()


def test_batches_are_bounded_and_in_arrival_order(market: Market) -> None:
    outbox = Outbox()
    intake = intake_start(market, publisher=outbox)
    jobs = [market.place_job(0, Side.BUY, 1, 100) for _ in range(BATCH_MAX + 20)]
    for job in jobs:
        job.expires_at = time.monotonic() + 10
        intake._queue.put(job)
    assert all(job.wait(10) for job in jobs)
    ids = [job.command_id for job in jobs]
    assert ids == sorted(ids)
    assert len(outbox.entries) == len(jobs)
    intake.stop()


def test_without_redis_orders_are_accepted_and_the_loss_is_counted(
    market: Market, settings: Any
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.STREAMS_URL = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
    settings.REDIS_STREAM_URL = settings.STREAMS_URL
    before = PUBLISH_FAILED._value.get()
    intake = intake_start(market, publisher=RedisPublisher())
    for _ in range(3):
        assert isinstance(intake.submit(market.place_job(0, Side.BUY, 1, 100)), Accepted)
    intake.stop()
    assert PUBLISH_FAILED._value.get() == before + 3
    assert Order.objects.filter(engine_seq=None).count() == 3


class Recorder:
    """A publisher that looks whether what it is given is durable yet."""

    def __init__(self) -> None:
        self.durable: list[int] = []

    def publish(self, entries: Sequence[Entry]) -> None:
        with connect("test-reader") as reader:
            row = reader.execute("SELECT count(*) FROM orders_order").fetchone()
        assert row is not None
        self.durable.append(row[0])


def test_nothing_is_published_before_its_commit(market: Market) -> None:
    recorder = Recorder()
    intake = intake_start(market, publisher=recorder)
    for _ in range(3):
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    intake.stop()
    assert recorder.durable == [1, 2, 3]
