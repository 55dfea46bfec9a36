"""Market operations of staff and clock, through the real worker: rows follow the engine."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import psycopg
import pytest

from exchange.domain.enums import OrderStatus, Side, SymbolState
from exchange.domain.errors import DomainError
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from orders.intake.process import intake_stop
from orders.markets.cancels import account_orders_cancel, symbol_orders_cancel
from orders.markets.rules import symbol_rules_converge, symbol_rules_send
from orders.markets.schedules import schedules_run
from orders.markets.states import symbol_state_request
from orders.models import Command, Order, ScheduledState, Trade
from tests.factories.market import Market, MemoryPublisher
from tests.factories.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    catalogue_forget()
    yield
    intake_stop()


def state_of(market: Market) -> str:
    return Symbol.objects.values_list("state", flat=True).get(pk=market.symbol_id)


def statuses(*order_ids: int) -> list[tuple[str, str | None]]:
    rows = {row.pk: (row.status, row.reason) for row in Order.objects.filter(pk__in=order_ids)}
    return [rows[order_id] for order_id in order_ids]


def ask(market: Market, state: SymbolState) -> None:
    symbol_state_request(symbol_id=market.symbol_id, state=state, requested_by=1, note="a test")


def test_rules_are_obeyed_and_not_sent_again(market: Market, worker: WorkerProcess) -> None:
    Symbol.objects.update(band_ppm=50_000, stop_orders_max=3)
    assert len(symbol_rules_send(market.symbol_id, 1)) == 3
    worker.drain()
    assert set(Command.objects.values_list("refusal", flat=True)) == {None}
    assert symbol_rules_converge() == 0


@pytest.mark.parametrize("state", [one for one in SymbolState if one is not SymbolState.CLOSED])
def test_the_row_follows_the_engine_into_a_state_and_back(
    market: Market, worker: WorkerProcess, state: SymbolState
) -> None:
    ask(market, state)
    assert state_of(market) == "open", "not before the engine has obeyed"
    worker.drain()
    assert state_of(market) == state
    ask(market, SymbolState.OPEN)
    worker.drain()
    assert state_of(market) == "open"


def test_a_day_by_the_clock_gathers_orders_and_opens_with_one_price(
    market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    day = [("pre_open", time(8)), ("auction", time(8, 30)), ("open", time(9))]
    for state, at in day:
        ScheduledState.objects.create(
            symbol_id=market.symbol_id, state=state, at=at, weekdays="1", last_due_at=MONDAY
        )
    orders: list[int] = []
    for state, at in day:
        due = datetime.combine(MONDAY.date(), at, UTC)
        assert schedules_run(db, market.ids, MemoryPublisher(), due + timedelta(seconds=1)) == 1
        worker.drain()
        assert state_of(market) == state
        if state != "open":
            orders.append(market.place(db, 0, BUY, 5, 10_100))
            orders.append(market.place(db, 1, SELL, 5, 10_000))
            worker.drain()
            assert not Trade.objects.exists(), "orders gather"
    assert {status for status, _ in statuses(*orders)} == {OrderStatus.FILLED}
    assert len({trade.price for trade in Trade.objects.all()}) == 1


def test_a_halt_outlives_the_clock(
    market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    ScheduledState.objects.create(
        symbol_id=market.symbol_id, state="open", at=time(9), weekdays="1", last_due_at=MONDAY
    )
    ask(market, SymbolState.HALT)
    for hours, is_obeyed in ((9, False), (24 * 7 + 9, True)):
        if is_obeyed:
            worker.drain()
        assert (
            schedules_run(db, market.ids, MemoryPublisher(), MONDAY + timedelta(hours=hours)) == 0
        )
    assert state_of(market) == "halt"


def test_closing_ends_every_order_and_is_final(
    market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    orders = [market.place(db, 0, BUY, 5, 9_000), market.place(db, 1, SELL, 5, 11_000)]
    ask(market, SymbolState.CLOSED)
    worker.drain()
    assert state_of(market) == "closed"
    assert {reason for _, reason in statuses(*orders)} == {"symbol.closed"}
    with pytest.raises(DomainError):
        ask(market, SymbolState.OPEN)
    worker.drain()
    assert state_of(market) == "closed"


@pytest.mark.parametrize("state", [SymbolState.OPEN, SymbolState.HALT, SymbolState.AUCTION_CUTOFF])
def test_the_house_ends_everyones_orders_in_any_state(
    market: Market,
    worker: WorkerProcess,
    db: psycopg.Connection,
    state: SymbolState,
) -> None:
    orders = [market.place(db, account, BUY, 5, 9_000 + account) for account in range(3)]
    worker.drain()  # its clock may stand behind the ids of what follows
    ask(market, state)
    symbol_orders_cancel(market.symbol_id, requested_by=1, note="a fault")
    worker.drain()
    by_house = (OrderStatus.CANCELLED, "order.cancelled_by_cancel_all")
    assert statuses(*orders) == [by_house] * 3


def test_ending_one_accounts_orders_leaves_those_of_others(
    market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    theirs, other = market.place(db, 0, BUY, 5, 9_000), market.place(db, 1, BUY, 5, 9_001)
    worker.drain()
    account_id = market.account_ids[0]
    codes = account_orders_cancel(account_id, requested_by=1, note="left")
    assert codes == [market.rules.units.code]
    worker.drain()
    assert statuses(theirs)[0][0] == OrderStatus.CANCELLED
    assert statuses(other) == [(OrderStatus.OPEN, None)]


def test_ending_a_keys_orders_leaves_those_of_other_keys(
    market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    orders = []
    for owner_tag in (7, 8, 0):
        job = market.place_job(0, BUY, 5, 9_000)
        job.owner_tag = owner_tag
        orders += market.submit(db, job)
    account_orders_cancel(market.account_ids[0], owner_tag=7, requested_by=1, note="leaked")
    worker.drain()
    assert [status for status, _ in statuses(*orders)] == ["cancelled", "open", "open"]
