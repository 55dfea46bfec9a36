"""Lists of orders from the intake's commit to the ledger, while fills cross them (O3, L4, L5).

The real intake, worker and settlement; the order of events is the order on the stream.
"""

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest

from exchange.domain.enums import ListKind, OrderType, Side
from exchange.infra.database import connect
from orders.intake.jobs import ListJob
from orders.models import Command, Order, Trade
from tests.concurrency.test_races import assert_reserved_is_explained, run
from tests.factories.market import Market
from tests.factories.worker import Surroundings, WorkerProcess
from tests.services.test_intake_lists import Leg, accepted, amend, ids_of, list_job
from tests.services.test_intake_lists import run as take_in
from wallets.models import Balance, Reservation

BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP_MARKET
OWNER, OTHER = 0, 1
FUNDS = Decimal(1_000_000)
PAIR: list[Leg] = [(SELL, LIMIT, 10, 120), (SELL, STOP, 10, 80)]


@pytest.fixture
def intake(market: Market) -> Iterator[psycopg.Connection]:
    connection = connect("test-intake")
    yield connection
    connection.close()


def place(market: Market, intake: psycopg.Connection, kind: ListKind, legs: list[Leg]) -> ListJob:
    job = list_job(market, kind, legs)
    take_in(market, intake, job)
    accepted(job)
    return job


def statuses(job: ListJob) -> list[str]:
    rows = Order.objects.filter(list_id=job.command_id).order_by("id")
    return list(rows.values_list("status", flat=True))


def reserved(market: Market, asset_id: int) -> Decimal:
    balance = Balance.objects.get(account_id=market.account_ids[OWNER], asset_id=asset_id)
    return Decimal(balance.reserved)


def test_a_fill_of_one_ends_the_other_and_releases_what_only_it_needed(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    job = place(market, intake, ListKind.OCO, [(SELL, LIMIT, 10, 120), (SELL, STOP, 30, 80)])
    run(around, worker)
    assert statuses(job) == ["open", "waiting"]
    assert reserved(market, market.base_id) == Decimal("0.03")
    market.place(intake, OTHER, BUY, 4, 120)
    run(around, worker)
    assert statuses(job) == ["partially_filled", "cancelled"]
    assert reserved(market, market.base_id) == Decimal("0.006")
    assert_reserved_is_explained(market)


def test_the_exits_of_an_entry_are_paid_for_by_its_fills(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    job = place(market, intake, ListKind.OTOCO, [(BUY, LIMIT, 10, 100), *PAIR])
    run(around, worker)
    assert statuses(job) == ["open", "waiting", "waiting"]
    market.place(intake, OTHER, SELL, 4, 100)
    run(around, worker)
    assert statuses(job) == ["partially_filled", "waiting", "waiting"]
    assert reserved(market, market.base_id) == Decimal("0.004")
    market.place(intake, OTHER, SELL, 6, 100)
    run(around, worker)
    assert statuses(job) == ["filled", "open", "waiting"]
    assert reserved(market, market.base_id) == Decimal("0.01")
    assert_reserved_is_explained(market)


def test_an_entry_cancelled_in_part_gives_what_it_brought_in_back(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    job = place(market, intake, ListKind.OTOCO, [(BUY, LIMIT, 10, 100), *PAIR])
    market.place(intake, OTHER, SELL, 4, 100)
    market.submit(intake, market.cancel_job(OWNER, ids_of(job)[0]))
    run(around, worker)
    assert statuses(job) == ["cancelled", "cancelled", "cancelled"]
    assert Trade.objects.count() == 1
    assert not Reservation.objects.exists()
    assert_reserved_is_explained(market)
    balance = Balance.objects.get(account_id=market.account_ids[OWNER], asset_id=market.base_id)
    assert balance.available == FUNDS + Decimal("0.004")


def test_a_fill_before_the_amend_of_the_other_leaves_nothing_reserved_for_it(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    job = place(market, intake, ListKind.OCO, PAIR)
    run(around, worker)
    first, second = ids_of(job)
    market.place(intake, OTHER, BUY, 4, 120)
    change = amend(market, second, quantity_lots=50)
    market.submit(intake, change)
    assert reserved(market, market.base_id) == Decimal("0.05")
    run(around, worker)
    assert Command.objects.get(pk=change.command_id).refusal == "order.not_open"
    assert statuses(job) == ["partially_filled", "cancelled"]
    assert reserved(market, market.base_id) == Decimal("0.006")
    assert_reserved_is_explained(market)
    assert first < second


def test_an_amend_before_the_fill_counts_for_the_pair(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    job = place(market, intake, ListKind.OCO, PAIR)
    market.submit(intake, amend(market, ids_of(job)[1], quantity_lots=50))
    run(around, worker)
    assert reserved(market, market.base_id) == Decimal("0.05")
    market.place(intake, OTHER, BUY, 10, 120)
    run(around, worker)
    assert statuses(job) == ["filled", "cancelled"]
    assert not Reservation.objects.filter(account_id=market.account_ids[OWNER]).exists()
    assert_reserved_is_explained(market)


def test_a_list_that_was_refused_by_the_engine_reserves_nothing(
    market: Market, intake: psycopg.Connection, around: Surroundings, worker: WorkerProcess
) -> None:
    """Accepted here while the symbol was open; the halt was sequenced before it."""
    market.submit(intake, market.state_job(1))
    job = place(market, intake, ListKind.OTOCO, [(SELL, LIMIT, 5, 100), *PAIR])
    assert reserved(market, market.base_id) == Decimal("0.015")
    run(around, worker)
    assert statuses(job) == ["rejected"] * 3
    assert not Reservation.objects.exists()
    assert_reserved_is_explained(market)
