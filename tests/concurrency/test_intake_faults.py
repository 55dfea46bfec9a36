"""orders.intake under faults: what is answered is durable, what is not durable is not answered."""

import itertools
import socket
import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.infra.database import connect
from orders.intake import publish
from orders.intake import thread as intake_thread
from orders.intake.decisions import StreamEntry
from orders.intake.jobs import Accepted, Job, Replayed
from orders.intake.publish import PUBLISH_FAILED, RedisPublisher
from orders.intake.thread import BATCH_MAX, DEFERRALS_MAX, RETRIES_MAX, Intake
from orders.models import ClientOrderId, Command, Order
from orders.reads.orders import client_order_find
from tests.factories.intake import connection_after, intake_start, intake_with_one_batch
from tests.factories.market import Market, MemoryPublisher
from tests.factories.metrics import metric_value
from tests.factories.severed import SeveredRoad
from tests.waiting import HANG_S, wait_until
from wallets import reserving


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
            " WHERE application_name = 'takas-test-intake' AND datname = current_database()"
        )
    with pytest.raises(DomainError) as refusal:
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    assert refusal.value.code is Code.ENGINE_UNAVAILABLE
    assert isinstance(intake.submit(market.place_job(0, Side.BUY, 1, 100)), Accepted)
    intake.stop()
    assert Order.objects.count() == 2


@pytest.mark.parametrize("after_commit", [True, False])
def test_connection_lost_during_commit_is_unknown_and_asking_again_tells(
    market: Market, after_commit: bool
) -> None:
    """Never "refused": the order may be durable. Its client id finds out, and makes no second."""
    job, again = market.place_job(0, Side.BUY, 1, 100), market.place_job(0, Side.BUY, 1, 100)
    again.draft = job.draft
    publisher = MemoryPublisher()
    with SeveredRoad(after_commit=after_commit) as road:
        intake = intake_start(market, open_connection=road.connection, publisher=publisher)
        with pytest.raises(DomainError) as refusal:
            intake.submit(job)
        assert refusal.value.code is Code.ENGINE_OUTCOME_UNKNOWN
        assert road.is_cut
        assert not publisher.entries, "what may not be durable is not published"
        known = client_order_find(
            account_id=job.account_id, client_order_id=job.draft.client_order_id
        )
        assert (known is not None) == after_commit
        outcome = intake.submit(again)
        intake.stop()
    assert isinstance(outcome, Replayed if after_commit else Accepted)
    assert outcome.order is not None
    assert outcome.order["id"] == (job if after_commit else again).command_id
    assert Order.objects.count() == 1


def test_one_refused_request_many_times_at_once_is_refused_each_time(market: Market) -> None:
    """More repetitions than a job has retries, and neighbours that must not notice."""
    started = threading.Event()

    slow_connection = connection_after(started)
    intake = intake_start(market, open_connection=slow_connection)
    first = market.place_job(1, Side.SELL, 1, 100)
    same = [market.place_job(0, Side.BUY, 2_000_000_000, 100) for _ in range(RETRIES_MAX * 2)]
    others = [market.place_job(0, Side.BUY, 2_000_000_000, 101) for _ in range(RETRIES_MAX * 2)]
    for job in (*same, *others):
        job.draft = replace(job.draft, client_order_id="storm")
    for job in others:
        job.fingerprint = "11"
    good = [market.place_job(1, Side.SELL, 1, 100) for _ in range(5)]
    jobs = [first, *same, *others, *good]
    for job in jobs:
        intake.put(job)
    started.set()
    assert all(job.wait(HANG_S) for job in jobs)
    intake.stop()
    assert all(isinstance(job.outcome, Accepted) for job in (first, *good))
    codes = [job.outcome.code for job in (*same, *others) if isinstance(job.outcome, DomainError)]
    assert codes == [Code.FUNDS_INSUFFICIENT] * (4 * RETRIES_MAX)


def test_what_keeps_losing_is_told_to_come_again_and_fails_nobody(market: Market) -> None:
    tired = market.place_job(0, Side.BUY, 2_000_000_000, 100)
    leader = market.place_job(0, Side.BUY, 2_000_000_000, 100)
    good = market.place_job(1, Side.SELL, 1, 100)
    tired.draft = leader.draft
    tired.fingerprint = "11"  # another order under the same client id: it has to wait its turn
    leader.deferrals = good.deferrals = DEFERRALS_MAX  # these go together with what is tired
    tired.deferrals = RETRIES_MAX
    intake = intake_with_one_batch(market, leader, tired, good)
    assert all(job.wait(HANG_S) for job in (leader, tired, good))
    intake.stop()
    assert isinstance(tired.outcome, DomainError)
    assert tired.outcome.code is Code.ENGINE_BUSY
    assert isinstance(good.outcome, Accepted)


def test_a_client_id_locked_by_a_stuck_transaction_holds_up_only_its_own_request(
    market: Market,
) -> None:
    """As a server sees it whose client was cut off: the claim stands, and nobody ends it."""
    stuck = market.place_job(0, Side.BUY, 1, 100)
    good = [market.place_job(1, Side.SELL, 1, 100) for _ in range(5)]
    with connect("test-locker") as locker, locker.transaction(force_rollback=True):
        locker.execute(
            "INSERT INTO orders_clientorderid (account_id, client_order_id, order_id, fingerprint)"
            " VALUES (%s, %s, 1, '')",
            (stuck.account_id, stuck.draft.client_order_id),
        )
        intake = intake_with_one_batch(market, good[0], stuck, *good[1:])
        assert all(job.wait(HANG_S) and isinstance(job.outcome, Accepted) for job in good)
        assert not stuck.wait(0)
    assert stuck.wait(HANG_S)
    assert isinstance(stuck.outcome, Accepted), "when the lock is gone, as ever"
    intake.stop()


def test_stopping_runs_what_was_deferred(market: Market) -> None:
    """A locked balance defers the job; the intake was told to stop meanwhile."""
    intake = intake_start(market)
    job = market.place_job(0, Side.BUY, 1, 100)
    with connect("test-locker") as locker, locker.transaction():
        locker.execute(
            "SELECT 1 FROM wallets_balance WHERE account_id = %s FOR UPDATE", (job.account_id,)
        )
        intake.put(job)
        wait_until(lambda: job.deferrals, "the lock is met")
        stopping = threading.Thread(target=intake.stop)
        stopping.start()
        wait_until(lambda: intake.is_stopping, "it is told to stop")
    stopping.join(HANG_S)
    assert not stopping.is_alive(), "the thread ends when the last job is answered"
    assert isinstance(job.outcome, Accepted)


def test_a_member_that_breaks_the_batch_does_not_fail_its_neighbours(market: Market) -> None:
    """An id that exists already makes the whole INSERT fail: only its own job may suffer."""
    queued = threading.Event()

    slow_connection = connection_after(queued)
    first = market.place_job(0, Side.BUY, 1, 100)
    poisoned = market.place_job(0, Side.BUY, 1, 100)
    good = [market.place_job(1, Side.SELL, 1, 100) for _ in range(5)]
    calls = itertools.count()

    def next_id() -> int:
        # Once for the first job; then the batch of six; then its members one by one.
        return first.command_id if next(calls) in (1, 7) else market.ids.next_id()

    intake = Intake(open_connection=slow_connection, publisher=MemoryPublisher(), next_id=next_id)
    for job in [first, poisoned, *good]:
        intake.put(job)
        if job is first:
            wait_until(lambda: not intake.waiting, "the thread takes it alone, and waits")
    queued.set()
    assert all(job.wait(HANG_S) for job in [first, poisoned, *good])
    intake.stop()
    assert isinstance(poisoned.outcome, DomainError)
    assert poisoned.outcome.code is Code.INTERNAL_ERROR
    assert all(isinstance(job.outcome, Accepted) for job in [first, *good])
    assert next(calls) == 13, "the batch of six was tried together before its members"
    assert Order.objects.count() == ClientOrderId.objects.count() == 6


def test_full_queue_is_busy_and_takes_nothing(market: Market) -> None:
    taken, release = threading.Event(), threading.Event()

    def slow_connection() -> psycopg.Connection[Any]:
        taken.set()
        release.wait(HANG_S)
        return connect("test-intake")

    intake = intake_start(market, open_connection=slow_connection, queue_max=3)
    jobs = [market.place_job(0, Side.BUY, 1, 100) for _ in range(4)]
    threads = [threading.Thread(target=intake.submit, args=(job,)) for job in jobs]
    for number, thread in enumerate(threads):
        thread.start()
        assert taken.wait(HANG_S), "the first one is taken off the queue, three fill it"
        wait_until(lambda number=number: intake.waiting == number)  # type: ignore[misc]
    with pytest.raises(DomainError) as refusal:
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    assert refusal.value.code is Code.ENGINE_BUSY
    release.set()
    for thread in threads:
        thread.join()
    intake.stop()
    assert Order.objects.count() == 4


def test_a_request_that_waited_too_long_is_not_begun(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_thread, "DEADLINE_S", -1.0)
    intake = intake_start(market)
    job = market.place_job(0, Side.BUY, 1, 100)
    intake.put(job)
    assert job.wait(HANG_S)
    assert isinstance(job.outcome, DomainError)
    assert job.outcome.code is Code.ENGINE_BUSY
    intake.stop()
    assert not Order.objects.exists()


def test_batches_are_bounded_and_in_arrival_order(market: Market) -> None:
    publisher = MemoryPublisher()
    intake = intake_start(market, publisher=publisher)
    jobs = [market.place_job(0, Side.BUY, 1, 100) for _ in range(BATCH_MAX + 20)]
    for job in jobs:
        intake.put(job)
    assert all(job.wait(HANG_S) for job in jobs)
    ids = [job.command_id for job in jobs]
    assert ids == sorted(ids)
    assert len(publisher.entries) == len(jobs)
    intake.stop()


def test_without_redis_orders_are_accepted_and_the_loss_is_counted(
    market: Market, settings: Any
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.STREAMS_URL = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
    settings.REDIS_STREAM_URL = settings.STREAMS_URL
    before = metric_value(PUBLISH_FAILED)
    intake = intake_start(market, publisher=RedisPublisher())
    for _ in range(3):
        assert isinstance(intake.submit(market.place_job(0, Side.BUY, 1, 100)), Accepted)
    intake.stop()
    assert metric_value(PUBLISH_FAILED) == before + 3
    assert Order.objects.filter(engine_seq=None).count() == 3


def test_a_fault_in_the_transport_after_the_commit_changes_no_answer(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: the batch is durable, and running it again would double its commands."""
    monkeypatch.setattr(publish, "commands_stream", None)  # as code that lost itself
    publisher = RedisPublisher()
    intake = intake_start(market, publisher=publisher)
    order_id = intake.submit(market.place_job(0, Side.BUY, 1, 100)).command_id  # type: ignore[union-attr]
    assert isinstance(intake.submit(market.cancel_job(0, order_id)), Accepted)
    intake.stop()
    assert Command.objects.count() == 1


class Recorder:
    """A publisher that looks whether what it is given is durable yet."""

    def __init__(self) -> None:
        self.durable: list[int] = []

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        with connect("test-reader") as reader:
            row = reader.execute("SELECT count(*) FROM orders_order").fetchone()
        assert row is not None
        self.durable.append(row[0])

    def confirm(self) -> None:
        """Nothing is under way."""


def test_nothing_is_published_before_its_commit(market: Market) -> None:
    recorder = Recorder()
    intake = intake_start(market, publisher=recorder)
    for _ in range(3):
        intake.submit(market.place_job(0, Side.BUY, 1, 100))
    intake.stop()
    assert recorder.durable == [1, 2, 3]


def test_jobs_that_belong_together_are_taken_together_or_not_at_all(market: Market) -> None:
    taken, release = threading.Event(), threading.Event()

    def slow_connection() -> psycopg.Connection[Any]:
        taken.set()
        release.wait(HANG_S)
        return connect("test-intake")

    publisher = MemoryPublisher()
    intake = intake_start(market, open_connection=slow_connection, publisher=publisher, jobs_max=3)
    held_up = market.place_job(0, Side.BUY, 1, 100)
    waiting = threading.Thread(target=intake.submit, args=(held_up,))
    waiting.start()
    assert taken.wait(HANG_S), "the thread has taken it, and waits for its connection"
    with pytest.raises(DomainError) as refusal:
        intake.submit_all([market.place_job(0, Side.BUY, 1, 100) for _ in range(4)])
    assert refusal.value.code is Code.ENGINE_BUSY
    assert not intake.waiting
    release.set()
    waiting.join()
    poor, good = market.place_job(0, Side.BUY, 2_000_000_000, 100), market.cancel_all_job(0)
    outcomes = intake.submit_all([poor, good])
    intake.stop()
    assert isinstance(outcomes[0], DomainError)
    assert isinstance(outcomes[1], Accepted), "each has its own outcome"
    assert len(publisher.entries) == 2


def test_a_write_that_waits_in_vain_is_not_unknown_and_runs_again(market: Market) -> None:
    """The COMMIT was sent with it, but cannot have run."""
    intake = intake_start(market)
    job = market.place_job(0, Side.BUY, 1, 100)
    with connect("test-locker") as locker:
        locker.execute("BEGIN")
        locker.execute("LOCK TABLE orders_order IN SHARE MODE")
        intake.put(job)
        wait_until(lambda: job.deferrals > 0, "the insert never gave up")
        locker.execute("ROLLBACK")
    assert job.wait(HANG_S)
    intake.stop()
    assert isinstance(job.outcome, Accepted)
    assert Order.objects.count() == 1


@pytest.mark.parametrize("statement", [reserving.RESERVE, reserving.RESERVE_FOR_AMENDS])
def test_a_write_that_misses_a_row_fails_its_transaction(db: Any, statement: str) -> None:
    """The COMMIT is on its way by then, so the statement itself has to look."""
    wanted = '[{"id": -1, "order_id": -1, "command_id": 1, "amount": "1"}]'
    with pytest.raises(psycopg.errors.RaiseException, match="changed 0 of 1 rows"):
        db.execute(statement, (wanted,))
