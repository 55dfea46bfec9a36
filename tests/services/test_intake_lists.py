"""orders.intake of lists: one decision, one reservation for what can happen once, one command."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from exchange.domain.codes import Code
from exchange.domain.enums import ListKind, OrderType, Side
from exchange.domain.errors import DomainError
from exchange.infra.database import connect
from exchange.selectors import units_load
from matching.engine.messages import PlaceList, Terms
from matching.state.codec import decode_command
from orders.commands.words import TRIGGERS
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, AcceptedList, AmendJob, Job, ListJob, PlaceJob
from orders.models import ClientOrderId, Command, Order, OrderList
from orders.recording.unsequenced import UnsequencedRows
from orders.validation.amends import AmendTerms
from tests.factories.market import Market
from wallets.models import Balance, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.STOP_LIMIT
OCO, OTO, OTOCO = ListKind.OCO, ListKind.OTO, ListKind.OTOCO
FUNDS = Decimal(1)

Leg = tuple[Side, OrderType, int, int]  # lots, ticks of the limit or bound


@pytest.fixture
def market_terms() -> dict[str, Any]:
    """Every account has 1 of each asset: 1,000 lots, or 100,000 tick-lots of 10 atoms each."""
    return {"accounts": 2, "funds": FUNDS}


def leg(market: Market, one: Leg, client_id: str | None = None) -> PlaceJob:
    side, kind, lots, ticks = one
    job = market.place_job(0, side, lots, ticks, type=kind)
    terms = None if kind is LIMIT else Terms(TRIGGERS[kind], stop_ticks=ticks)
    client_id = client_id or job.draft.client_order_id
    job.draft = replace(job.draft, terms=terms, client_order_id=client_id)
    return job


def list_job(
    market: Market,
    kind: ListKind,
    legs: Sequence[Leg],
    *,
    names: Sequence[str | None] | None = None,
    fingerprint: str = "aa",
) -> ListJob:
    names = names or [None] * len(legs)
    places = [leg(market, one, name) for one, name in zip(legs, names, strict=True)]
    for index, place in enumerate(places):
        place.fingerprint = f"{fingerprint}0{index}"
    return ListJob(account_id=market.account_ids[0], kind=kind, places=places)


def run(market: Market, db: psycopg.Connection, *jobs: Job) -> list[Job]:
    return commit_batch(db, jobs, market.publisher, next_id=market.ids.next_id, wait_for_locks=True)


def accepted(job: ListJob) -> AcceptedList:
    assert isinstance(job.outcome, AcceptedList), job.outcome
    return job.outcome


def code_of(job: Job) -> Code:
    assert isinstance(job.outcome, DomainError), job.outcome
    return job.outcome.code


def reservations() -> list[tuple[Decimal, bool, int | None, int | None]]:
    """Return, by order id: amount, whether in a pool, the parent that funds it, open lots."""
    return [
        (row.amount.normalize(), row.pool_id is not None, row.funded_by, row.left_lots)
        for row in Reservation.objects.order_by("order_id")
    ]


def reserved(market: Market, asset_id: int) -> Decimal:
    balance = Balance.objects.get(account_id=market.account_ids[0], asset_id=asset_id)
    assert balance.available + balance.reserved == FUNDS
    return Decimal(balance.reserved).normalize()


def nothing_is_there(market: Market) -> bool:
    tables: list[Any] = [Order, ClientOrderId, OrderList, Command, Reservation]
    return (
        not any(table.objects.exists() for table in tables)
        and not market.publisher.entries
        and not Balance.objects.filter(reserved__gt=0).exists()
    )


PAIR: list[Leg] = [(SELL, LIMIT, 10, 120), (SELL, STOP, 30, 80)]


def test_a_list_is_rows_under_ascending_ids_and_one_command(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OTOCO, [(BUY, LIMIT, 30, 100), *PAIR])
    run(market, db, job)
    one = OrderList.objects.get()
    order_ids = list(Order.objects.order_by("id").values_list("id", flat=True))
    assert (one.pk, one.kind, one.account_id) == (job.command_id, "otoco", job.account_id)
    assert [one.pk, *order_ids] == sorted([one.pk, *order_ids])
    assert set(Order.objects.values_list("list_id", flat=True)) == {one.pk}
    assert [order["id"] for order in accepted(job).orders] == order_ids
    [payload] = market.publisher.take()
    command = decode_command(payload)
    assert isinstance(command, PlaceList)
    assert [place.order_id for place in command.orders] == order_ids
    units = units_load(db, market.partition_id)
    rows = UnsequencedRows(db, partition_id=market.partition_id, units=units)
    assert rows.sweep(age_ms=0, limit=10) == [command], "as the worker reads it from the rows"


def test_a_pair_that_sells_reserves_the_larger_quantity_once(
    market: Market, db: psycopg.Connection
) -> None:
    run(market, db, list_job(market, OCO, PAIR))
    assert reservations() == [(Decimal("0.03"), True, None, 10), (Decimal(0), True, None, 30)]
    assert reserved(market, market.base_id) == Decimal("0.03")


def test_a_pair_that_buys_reserves_the_larger_cost_once(
    market: Market, db: psycopg.Connection
) -> None:
    run(market, db, list_job(market, OCO, [(BUY, LIMIT, 50, 100), (BUY, STOP, 40, 150)]))
    assert reservations() == [(Decimal("0.06006"), True, None, 50), (Decimal(0), True, None, 40)]
    assert reserved(market, market.quote_id) == Decimal("0.06006")


def test_a_child_that_its_parent_pays_for_reserves_nothing_yet(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OTOCO, [(BUY, LIMIT, 30, 100), *PAIR])
    run(market, db, job)
    parent_id = job.places[0].command_id
    assert reservations() == [
        (Decimal("0.03003"), False, None, None),
        (Decimal(0), True, parent_id, 10),
        (Decimal(0), True, parent_id, 30),
    ]
    assert reserved(market, market.base_id) == 0


def test_a_child_that_its_parent_does_not_pay_for_reserves_beside_it(
    market: Market, db: psycopg.Connection
) -> None:
    run(market, db, list_job(market, OTO, [(SELL, LIMIT, 10, 100), (SELL, STOP, 20, 90)]))
    run(market, db, list_job(market, OTOCO, [(SELL, LIMIT, 1, 100), *PAIR]))
    assert reservations() == [
        (Decimal("0.01"), False, None, None),
        (Decimal("0.02"), False, None, None),
        (Decimal("0.001"), False, None, None),
        (Decimal("0.03"), True, None, 10),
        (Decimal(0), True, None, 30),
    ]
    assert reserved(market, market.base_id) == Decimal("0.061")


@pytest.mark.parametrize(
    ("kind", "legs"),
    [
        (OCO, [(SELL, LIMIT, 10, 100), (SELL, STOP, 1_001, 90)]),
        (OTO, [(BUY, LIMIT, 500, 100), (BUY, STOP, 500, 101)]),
        (OTO, [(SELL, LIMIT, 500, 100), (SELL, STOP, 501, 90)]),
        (OTOCO, [(SELL, LIMIT, 1, 100), (SELL, LIMIT, 10, 100), (SELL, STOP, 1_000, 90)]),
    ],
)
def test_one_order_too_much_refuses_all_and_changes_nothing(
    market: Market, db: psycopg.Connection, kind: ListKind, legs: list[Leg]
) -> None:
    job = list_job(market, kind, legs)
    run(market, db, job)
    assert code_of(job) is Code.FUNDS_INSUFFICIENT
    assert nothing_is_there(market)


def test_open_orders_are_counted_with_all_of_a_list(market: Market, db: psycopg.Connection) -> None:
    fits, one_more, single = (
        list_job(market, OCO, PAIR),
        list_job(market, OTOCO, [(SELL, LIMIT, 1, 100), *PAIR]),
        leg(market, (SELL, LIMIT, 1, 100)),
    )
    for place in (*fits.places, *one_more.places, single):
        place.open_orders_max = 4
    before = list_job(market, OTO, [(SELL, LIMIT, 1, 100), (SELL, LIMIT, 1, 101)])
    run(market, db, before)
    run(market, db, one_more)
    assert code_of(one_more) is Code.RISK_OPEN_ORDERS_MAX
    run(market, db, fits, single)
    accepted(fits)
    assert code_of(single) is Code.RISK_OPEN_ORDERS_MAX
    assert Order.objects.count() == 4


def test_the_same_list_again_is_the_same_list(market: Market, db: psycopg.Connection) -> None:
    """L7: in a later batch, and twice in one."""
    names = ["a", "b"]
    first, twin = (list_job(market, OCO, PAIR, names=names) for _ in range(2))
    run(market, db, first, twin)
    later = list_job(market, OCO, PAIR, names=names)
    run(market, db, later)
    assert not accepted(first).is_replay
    for again in (twin, later):
        assert accepted(again).is_replay
        assert accepted(again).list_id == first.command_id
        assert [row["client_order_id"] for row in accepted(again).orders] == names
    assert (Order.objects.count(), len(market.publisher.entries)) == (2, 1)


def test_a_refused_list_twice_in_one_batch_is_refused_twice(
    market: Market, db: psycopg.Connection
) -> None:
    legs = [(SELL, LIMIT, 10, 100), (SELL, STOP, 1_001, 90)]
    jobs = [list_job(market, OCO, legs, names=["a", "b"]) for _ in range(3)]
    assert not run(market, db, *jobs), "none of them has to be tried again"
    assert {code_of(job) for job in jobs} == {Code.FUNDS_INSUFFICIENT}
    assert nothing_is_there(market)


@pytest.mark.parametrize(
    ("names", "fingerprint", "field"),
    [
        (["a", "b"], "bb", "orders.0.client_order_id"),
        (["a", "new"], "aa", "orders.0.client_order_id"),
        (["new", "b"], "aa", "orders.1.client_order_id"),
        (["b", "a"], "aa", "orders.0.client_order_id"),
    ],
    ids=["other terms", "only the first is known", "only the second is", "in another sequence"],
)
def test_client_ids_of_another_list_are_a_conflict(
    market: Market, db: psycopg.Connection, names: list[str], fingerprint: str, field: str
) -> None:
    run(market, db, list_job(market, OCO, PAIR, names=["a", "b"]))
    market.publisher.take()
    other = list_job(market, OCO, PAIR, names=names, fingerprint=fingerprint)
    run(market, db, other)
    assert isinstance(other.outcome, DomainError)
    assert (other.outcome.code, other.outcome.field) == (Code.ORDER_CLIENT_ID_CONFLICT, field)
    assert set(ClientOrderId.objects.values_list("client_order_id", flat=True)) == {"a", "b"}
    assert not market.publisher.entries
    assert reserved(market, market.base_id) == Decimal("0.03")


def test_a_single_order_and_a_list_never_share_a_client_id(
    market: Market, db: psycopg.Connection
) -> None:
    """Whichever comes first in the batch has it; the other one waits and then is a conflict."""
    single = leg(market, (SELL, LIMIT, 1, 100), "a")
    after = list_job(market, OCO, PAIR, names=["b", "a"])
    last = leg(market, (SELL, LIMIT, 1, 100), "b")
    deferred = run(market, db, single, after, last)
    assert isinstance(single.outcome, Accepted)
    assert deferred == [after, last], "what the list had claimed is free again"
    assert run(market, db, after, last) == [last]
    assert code_of(after) is Code.ORDER_CLIENT_ID_CONFLICT
    run(market, db, last)
    assert isinstance(last.outcome, Accepted)
    assert OrderList.objects.count() == 0


def test_an_order_under_a_client_id_of_a_list_before_it_is_a_conflict(
    market: Market, db: psycopg.Connection
) -> None:
    first = list_job(market, OCO, PAIR, names=["a", "b"])
    single = leg(market, (SELL, LIMIT, 1, 100), "b")
    run(market, db, first, single)
    accepted(first)
    assert code_of(single) is Code.ORDER_CLIENT_ID_CONFLICT


def test_a_list_on_a_locked_balance_waits_and_gives_its_client_ids_up(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OCO, PAIR)
    with connect("test-locker") as locker, locker.transaction():
        locker.execute("SELECT 1 FROM wallets_balance FOR UPDATE")
        deferred = commit_batch(db, [job], market.publisher, next_id=market.ids.next_id)
    assert deferred == [job]
    assert nothing_is_there(market)
    run(market, db, job)
    accepted(job)


# --- amends


def amend(market: Market, order_id: int, **terms: Any) -> AmendJob:
    return market.amend_job(0, order_id, SELL, **terms)


def ids_of(job: ListJob) -> list[int]:
    return [place.command_id for place in job.places]


def sequenced(order_id: int, status: str, filled: int = 0) -> None:
    """What the worker's results do to a row."""
    Order.objects.filter(pk=order_id).update(
        engine_seq=1, priority_seq=1, status=status, filled=Decimal(filled) / 1_000
    )


def test_one_amend_at_a_time_for_a_pair(market: Market, db: psycopg.Connection) -> None:
    job = list_job(market, OCO, PAIR)
    run(market, db, job)
    first, second = ids_of(job)
    one, other = amend(market, first, quantity_lots=15), amend(market, second, quantity_lots=9)
    run(market, db, one, other)
    assert isinstance(one.outcome, Accepted)
    assert code_of(other) is Code.ORDER_AMEND_PENDING
    again = amend(market, second, quantity_lots=9)
    run(market, db, again)
    assert code_of(again) is Code.ORDER_AMEND_PENDING
    rows = Reservation.objects.order_by("order_id").values_list("amount", "pending_amend_id")
    assert list(rows) == [(Decimal("0.035"), one.command_id), (Decimal(0), None)]
    assert reserved(market, market.base_id) == Decimal("0.035"), "the pool and the amend's extra"


def test_an_amend_waits_for_both_reservations_of_its_pair(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OCO, PAIR)
    run(market, db, job)
    first, second = ids_of(job)
    change = amend(market, first, quantity_lots=15)
    with connect("test-locker") as locker, locker.transaction():
        locker.execute(
            "SELECT 1 FROM wallets_reservation WHERE order_id = %s FOR UPDATE", (second,)
        )
        assert commit_batch(db, [change], market.publisher, next_id=market.ids.next_id) == [change]
    run(market, db, change)
    assert isinstance(change.outcome, Accepted)


def test_what_is_left_of_a_pair_is_amended_as_any_order(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OCO, PAIR)
    run(market, db, job)
    first, second = ids_of(job)
    sequenced(first, "cancelled")
    Reservation.objects.filter(order_id=first).delete()
    Reservation.objects.filter(order_id=second).update(
        pool_id=None, left_lots=None, amount=Decimal("0.03")
    )
    change = amend(market, second, quantity_lots=31)
    run(market, db, change)
    assert isinstance(change.outcome, Accepted)
    assert Reservation.objects.get().amount == Decimal("0.031")


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("parent_side", [BUY, SELL])
def test_no_amend_where_fills_are_to_pay_or_release(
    market: Market, db: psycopg.Connection, index: int, parent_side: Side
) -> None:
    job = list_job(market, OTOCO, [(parent_side, LIMIT, 40, 100), *PAIR])
    run(market, db, job)
    change = AmendJob(
        account_id=job.account_id,
        order_id=ids_of(job)[index],
        side=job.places[index].draft.side,
        rules=market.rules,
        terms=AmendTerms(quantity_lots=35),
    )
    before = reservations()
    run(market, db, change)
    assert code_of(change) is Code.ORDER_LIST_AMEND
    assert reservations() == before
    assert not Command.objects.exists()


def test_a_released_order_is_amended_once_it_is_paid_for(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OTO, [(BUY, LIMIT, 30, 100), (SELL, LIMIT, 20, 120)])
    run(market, db, job)
    parent, child = ids_of(job)
    sequenced(parent, "filled", filled=30)
    sequenced(child, "open")
    early = amend(market, child, price_ticks=130)
    run(market, db, early)
    assert code_of(early) is Code.ORDER_LIST_AMEND, "its fills are not in the ledger yet"
    Reservation.objects.filter(order_id=child).update(
        funded_by=None, left_lots=None, amount=Decimal("0.02")
    )
    Reservation.objects.filter(order_id=parent).delete()
    late = amend(market, child, price_ticks=130)
    run(market, db, late)
    assert isinstance(late.outcome, Accepted)


def test_a_parent_whose_children_were_cancelled_is_amended(
    market: Market, db: psycopg.Connection
) -> None:
    job = list_job(market, OTO, [(SELL, LIMIT, 30, 100), (SELL, LIMIT, 20, 120)])
    run(market, db, job)
    parent, child = ids_of(job)
    sequenced(child, "cancelled")
    change = amend(market, parent, quantity_lots=31)
    run(market, db, change)
    assert isinstance(change.outcome, Accepted)


def test_a_new_bound_of_a_stop_is_reserved_for(market: Market, db: psycopg.Connection) -> None:
    """The stop price determines no reservation: the order pays up to its bound."""
    job = leg(market, (BUY, STOP, 10, 100))
    [order_id] = market.submit(db, job)
    change = AmendJob(
        account_id=job.account_id,
        order_id=order_id,
        side=BUY,
        rules=market.rules,
        terms=AmendTerms(stop_ticks=110, price_ticks=120),
    )
    market.submit(db, change)
    assert Reservation.objects.get().amount == Decimal("0.012012")


def test_what_waits_is_cancelled_and_amended_like_what_is_open(
    market: Market, db: psycopg.Connection
) -> None:
    job = leg(market, (BUY, STOP_LIMIT, 10, 100))
    [order_id] = market.submit(db, job)
    sequenced(order_id, "waiting")
    change = AmendJob(
        account_id=job.account_id,
        order_id=order_id,
        side=BUY,
        rules=market.rules,
        terms=AmendTerms(stop_ticks=90),
    )
    cancel = market.cancel_job(0, order_id)
    run(market, db, change, cancel)
    assert isinstance(change.outcome, Accepted)
    assert isinstance(cancel.outcome, Accepted)


def test_what_waits_has_no_place_in_a_queue_to_keep(market: Market, db: psycopg.Connection) -> None:
    job = leg(market, (SELL, STOP_LIMIT, 10, 100))
    [order_id] = market.submit(db, job)
    sequenced(order_id, "waiting")
    change = amend(market, order_id, quantity_lots=5, keep_priority=True)
    run(market, db, change)
    assert code_of(change) is Code.ORDER_PRIORITY_NEEDS_REDUCTION
    assert not Command.objects.exists()
