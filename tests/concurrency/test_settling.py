"""Deferred refusals (ADR 0016): funds that a client was told are free pay for the next order.

`make funds` runs the long ones with ROUNDS=10000.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.infra.database import connect
from orders.intake import deferred
from orders.intake.jobs import Accepted, Job, Outcome
from orders.intake.thread import Intake
from orders.settlement.batch import settle_batch
from tests.concurrency.test_pairs_under_load import audited
from tests.concurrency.test_races import assert_reserved_is_explained
from tests.factories.venue import Venue
from tests.waiting import HANG_S, wait_until
from wallets.models import Reservation

ROUNDS: Final = int(os.environ.get("ROUNDS", "60"))
BUY, SELL = Side.BUY, Side.SELL
ADA, BORIS = 0, 1
# A buy of so many lots at so many ticks, fee included, takes all quote that an account has.
TICKS: Final = 100_000
LOTS: Final = 1_000
FUNDS: Final = Decimal("1001")


@pytest.fixture
def market_terms() -> dict[str, Any]:
    """Two traders, each with all that one such buy takes."""
    return {"accounts": 2, "funds": FUNDS}


class Asked:
    """A job in a thread of its own, as a request has one."""

    def __init__(self, intake: Intake, job: Job) -> None:
        self.outcome: Outcome | None = None
        self._intake, self._job = intake, job
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._intake.submit(self._job)
        except DomainError as refusal:
            self.outcome = refusal

    def answer(self) -> Outcome:
        self._thread.join(HANG_S)
        assert self.outcome is not None
        return self.outcome


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, pause=0.0005)


def waits(intake: Intake, job: Job) -> Asked:
    """Ask for the job; back when it waits for settlement."""
    asked = Asked(intake, job)
    until(lambda: len(intake.settling) or asked.outcome)
    assert asked.outcome is None, asked.outcome
    return asked


def test_money_of_a_cancelled_order_pays_for_the_next_one(venue: Venue) -> None:
    first = venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.match()
    venue.cancel(ADA, first)
    again = waits(venue.intake, venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.accept(venue.market.place_job(BORIS, BUY, 1, TICKS - 1))  # nobody else waits for it
    venue.settle()
    assert isinstance(again.answer(), Accepted)
    assert_reserved_is_explained(venue.market)


def test_what_was_bought_can_be_sold_at_once(venue: Venue) -> None:
    venue.accept(venue.market.place_job(BORIS, SELL, LOTS, TICKS))
    venue.accept(venue.market.place_job(ADA, BUY, 400, TICKS))
    venue.match()
    # All there is: what it had, and the fill that a frame has told of.
    sale = waits(venue.intake, venue.market.place_job(ADA, SELL, 1_001_000 + 400, TICKS + 1))
    venue.settle()
    assert isinstance(sale.answer(), Accepted)
    assert_reserved_is_explained(venue.market)


def test_what_an_amend_gave_back_pays_for_the_next_order(venue: Venue) -> None:
    first = venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.match()
    venue.accept(venue.market.amend_job(ADA, first, BUY, quantity_lots=LOTS // 2))
    venue.match()
    second = waits(venue.intake, venue.market.place_job(ADA, BUY, LOTS // 2, TICKS))
    venue.settle()
    assert isinstance(second.answer(), Accepted)


def test_an_amend_that_was_answered_does_not_bar_the_next_one(venue: Venue) -> None:
    first = venue.accept(venue.market.place_job(ADA, BUY, 10, 100))
    venue.match()
    venue.accept(venue.market.amend_job(ADA, first, BUY, price_ticks=101))
    venue.match()
    second = waits(venue.intake, venue.market.amend_job(ADA, first, BUY, price_ticks=102))
    venue.settle()
    assert isinstance(second.answer(), Accepted)
    third = Asked(venue.intake, venue.market.amend_job(ADA, first, BUY, price_ticks=103)).answer()
    assert isinstance(third, DomainError)
    assert third.code is Code.ORDER_AMEND_PENDING, "the engine has not answered the second one"


def test_an_order_that_ended_counts_as_open_no_more(venue: Venue) -> None:
    first = venue.accept(venue.market.place_job(ADA, BUY, 10, 100))
    venue.match()
    venue.cancel(ADA, first)
    job = venue.market.place_job(ADA, BUY, 10, 100)
    job.open_orders_max = 1
    second = waits(venue.intake, job)
    venue.settle()
    assert isinstance(second.answer(), Accepted)
    third = venue.market.place_job(ADA, BUY, 10, 100)
    third.open_orders_max = 1
    refusal = Asked(venue.intake, third).answer()
    assert isinstance(refusal, DomainError)
    assert refusal.code is Code.RISK_OPEN_ORDERS_MAX


def test_who_has_too_little_is_told_so_at_once_where_nothing_is_to_be_booked(venue: Venue) -> None:
    """Others' unbooked orders are no reason to wait."""
    venue.accept(venue.market.place_job(BORIS, BUY, 10, 100))
    venue.match()
    job = venue.market.place_job(ADA, BUY, LOTS + 1, TICKS)
    refusal = Asked(venue.intake, job).answer()
    assert isinstance(refusal, DomainError)
    assert refusal.code is Code.FUNDS_INSUFFICIENT
    assert job.settled_at == {}
    assert not Reservation.objects.filter(account_id=venue.market.account_ids[ADA]).exists()


def test_who_has_too_little_after_all_is_refused_when_that_is_sure(venue: Venue) -> None:
    venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.match()
    asked = waits(venue.intake, venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.settle()
    refusal = asked.answer()
    assert isinstance(refusal, DomainError)
    assert refusal.code is Code.FUNDS_INSUFFICIENT


def test_without_settlement_nobody_waits_for_ever_and_nothing_untrue_is_said(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, "SETTLING_S", 0.05)
    monkeypatch.setattr(deferred, "SETTLING_MAX", 1)
    first = venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.match()
    venue.cancel(ADA, first)
    before = Reservation.objects.count()
    jobs = [venue.market.place_job(ADA, BUY, LOTS, TICKS) for _ in range(2)]
    for outcome in venue.intake.submit_all(jobs):
        assert isinstance(outcome, DomainError)
        assert outcome.code is Code.ENGINE_SETTLING
    assert Reservation.objects.count() == before


def test_a_process_that_ends_answers_those_that_wait_first(venue: Venue) -> None:
    first = venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
    venue.match()
    venue.cancel(ADA, first)
    again = waits(venue.intake, venue.market.place_job(ADA, BUY, LOTS, TICKS))
    stopping = threading.Thread(target=venue.intake.stop)
    stopping.start()
    venue.settle()
    assert isinstance(again.answer(), Accepted)
    stopping.join(HANG_S)


@contextmanager
def running(venue: Venue) -> Iterator[None]:
    """Worker and settlement in threads of their own, the second one always a little late."""
    is_over = threading.Event()
    failures: list[BaseException] = []

    def goes(turn: Callable[[], object]) -> Callable[[], None]:
        def body() -> None:
            try:
                while not is_over.is_set():
                    turn()
            except BaseException as error:
                failures.append(error)

        return body

    def work() -> None:
        venue.around.deliver()
        venue.worker.run(1)
        time.sleep(0.0005)

    with connect("test-settlement") as connection:

        def book() -> None:
            time.sleep(0.01)
            settle_batch(connection, venue.market.partition_id)

        threads = [threading.Thread(target=goes(turn)) for turn in (work, book)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            for thread in threads:
                thread.join(HANG_S)
    assert failures == []


def told(db: psycopg.Connection, order_id: int, status: str) -> None:
    """Wait until the order is shown like this."""
    statement = "SELECT status FROM orders_order WHERE id = %s"
    until(lambda: db.execute(statement, (order_id,)).fetchone() == (status,))


def test_cancel_then_place_with_the_whole_balance_again_and_again(venue: Venue) -> None:
    with running(venue):
        for _ in range(ROUNDS):
            order_id = venue.accept(venue.market.place_job(ADA, BUY, LOTS, TICKS))
            told(venue.db, order_id, "open")
            venue.accept(venue.market.cancel_job(ADA, order_id))
            told(venue.db, order_id, "cancelled")
    venue.settle()
    assert not Reservation.objects.exists()
    assert_reserved_is_explained(venue.market)
    audited(venue.db)


def test_buy_then_sell_all_of_it_again_and_again(venue: Venue) -> None:
    """All base there is goes to and fro: each time its buyer sells it on at once."""
    owned = 1_001_000
    seller, buyer = ADA, BORIS
    with running(venue):
        for _ in range(ROUNDS):
            venue.accept(venue.market.place_job(seller, SELL, owned, 1))
            bought = venue.accept(venue.market.place_job(buyer, BUY, owned, 1))
            told(venue.db, bought, "filled")
            seller, buyer, owned = buyer, seller, 2_002_000
    venue.settle()
    assert_reserved_is_explained(venue.market)
    audited(venue.db)
