"""Races of a command and a fill: the engine takes one first, and the other gives way.

The real intake, worker and settlement; the order of events is the order on the stream (O3, L5).
"""

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
from django.db.models import Sum

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.infra.database import connect
from orders.intake.batch import commit_batch
from orders.models import Command, Order, Trade
from orders.settlement.batch import settle_batch
from tests.factories.market import Market
from tests.factories.worker import Surroundings, WorkerProcess
from wallets.models import Balance, Reservation

MAKER, TAKER = 0, 1


@pytest.fixture
def intake(market: Market) -> Iterator[psycopg.Connection]:
    connection = connect("test-intake")
    yield connection
    connection.close()


def settle_all(market: Market) -> None:
    connection = connect("test-settlement")
    try:
        while settle_batch(connection, market.partition_id) is not None:
            pass
    finally:
        connection.close()


def run(around: Surroundings, worker: WorkerProcess) -> None:
    around.deliver()
    worker.run()
    settle_all(around.market)


def assert_reserved_is_explained(market: Market) -> None:
    """L5, and nothing was made or lost."""
    for balance in Balance.objects.filter(account_id__in=market.account_ids):
        held = Reservation.objects.filter(
            account_id=balance.account_id, asset_id=balance.asset_id
        ).aggregate(total=Sum("amount"))["total"]
        assert balance.reserved == (held or 0)
        assert balance.available >= 0


def order(order_id: int) -> Order:
    return Order.objects.get(pk=order_id)


def test_cancel_first_means_no_fill(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    maker = market.place(intake, MAKER, Side.SELL, 10, 100)
    run(around, worker)
    market.submit(intake, market.cancel_job(MAKER, maker))
    taker = market.place(intake, TAKER, Side.BUY, 10, 100)
    run(around, worker)
    assert (order(maker).status, order(taker).status) == ("cancelled", "open")
    assert not Trade.objects.filter(symbol_id=market.symbol_id).exists()
    assert_reserved_is_explained(market)


def test_fill_first_means_the_cancel_is_refused(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    maker = market.place(intake, MAKER, Side.SELL, 10, 100)
    run(around, worker)
    market.place(intake, TAKER, Side.BUY, 10, 100)
    [cancel] = market.submit(intake, market.cancel_job(MAKER, maker))
    run(around, worker)
    assert order(maker).status == "filled"
    assert Command.objects.get(pk=cancel).refusal == Code.ORDER_NOT_OPEN
    assert_reserved_is_explained(market)


def test_cancel_after_a_partial_fill_keeps_the_fill(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    maker = market.place(intake, MAKER, Side.SELL, 10, 100)
    run(around, worker)
    market.place(intake, TAKER, Side.BUY, 4, 100)
    market.submit(intake, market.cancel_job(MAKER, maker))
    run(around, worker)
    assert (order(maker).status, order(maker).filled) == ("cancelled", Decimal("0.004"))
    assert not Reservation.objects.filter(order_id=maker).exists()
    assert_reserved_is_explained(market)


def test_two_cancels_cancel_once(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    maker = market.place(intake, MAKER, Side.SELL, 10, 100)
    first, second = market.submit(
        intake, market.cancel_job(MAKER, maker), market.cancel_job(MAKER, maker)
    )
    run(around, worker)
    assert order(maker).status == "cancelled"
    assert Command.objects.get(pk=first).refusal is None
    assert Command.objects.get(pk=second).refusal == Code.ORDER_NOT_OPEN
    assert_reserved_is_explained(market)


def test_amend_after_a_partial_fill_counts_what_was_filled(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    buyer = market.place(intake, MAKER, Side.BUY, 10, 100)
    run(around, worker)
    # The fill is sequenced first; the amend was decided without knowing of it.
    market.place(intake, TAKER, Side.SELL, 4, 100)
    market.submit(
        intake, market.amend_job(MAKER, buyer, Side.BUY, price_ticks=120, quantity_lots=20)
    )
    run(around, worker)
    amended = order(buyer)
    assert (amended.quantity, amended.filled) == (Decimal("0.02"), Decimal("0.004"))
    assert amended.status == "partially_filled"
    held = Reservation.objects.get(order_id=buyer)
    assert held.pending_amend_id is None
    # 16 lots left at 1.20: 0.0192, and the taker fee on it.
    assert Decimal("0.0192") < held.amount < Decimal("0.01923")
    assert_reserved_is_explained(market)


def test_amend_of_an_order_that_filled_first_gives_its_extra_back(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    buyer = market.place(intake, MAKER, Side.BUY, 10, 100)
    run(around, worker)
    market.place(intake, TAKER, Side.SELL, 10, 100)
    [amend] = market.submit(
        intake, market.amend_job(MAKER, buyer, Side.BUY, price_ticks=120, quantity_lots=20)
    )
    run(around, worker)
    assert order(buyer).status == "filled"
    assert Command.objects.get(pk=amend).refusal == Code.ORDER_NOT_OPEN
    assert not Reservation.objects.filter(order_id=buyer).exists()
    assert_reserved_is_explained(market)


def test_amend_of_an_order_that_ended_meanwhile_is_refused(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    maker = market.place(intake, MAKER, Side.SELL, 10, 100)
    market.submit(intake, market.cancel_job(MAKER, maker))
    run(around, worker)
    job = market.amend_job(MAKER, maker, Side.SELL, quantity_lots=20)
    commit_batch(intake, [job], market.publisher, next_id=market.ids.next_id)
    assert isinstance(job.outcome, DomainError)
    assert job.outcome.code is Code.ORDER_NOT_OPEN
    assert_reserved_is_explained(market)
