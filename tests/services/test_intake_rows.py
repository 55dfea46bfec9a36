"""orders.intake rows of each order type: columns, reservation, command."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from msgspec import structs

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange.selectors import units_load
from matching.engine.messages import SOURCE_BEST, Terms
from matching.state.codec import decode_command
from orders.commands.words import TRIGGERS
from orders.intake.jobs import Accepted, PlaceJob
from orders.models import Order
from orders.reads.orders import order_json, order_of_account
from orders.recording.unsequenced import UnsequencedRows
from tests.factories.market import MAKER_FEE_PPM, TAKER_FEE_PPM, Market
from tests.factories.worker import TestClock
from wallets.models import Reservation

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
EXPIRES_MS = 1_893_456_000_123
RARE = (
    "stop_price",
    "trigger_source",
    "trail_amount",
    "trail_ppm",
    "activation_price",
    "display_quantity",
    "expires_at",
    "list_id",
    "reference_price",
)


@pytest.fixture
def market_terms() -> dict[str, Any]:
    return {"accounts": 1}


def job_of(
    market: Market,
    side: Side,
    kind: OrderType,
    *,
    terms: Terms | None = None,
    draft: dict[str, Any] | None = None,
    group_id: int = 0,
    owner_tag: int = 0,
) -> PlaceJob:
    """An order of 7 lots at 100 ticks, of this type."""
    plain = market.place_job(0, side, 7, 100, type=kind)
    return PlaceJob(
        account_id=plain.account_id,
        draft=structs.replace(plain.draft, terms=_of_type(terms, kind), **(draft or {})),
        rules=market.rules,
        maker_fee_ppm=MAKER_FEE_PPM,
        taker_fee_ppm=TAKER_FEE_PPM,
        fingerprint="00",
        group_id=group_id,
        owner_tag=owner_tag,
    )


def _of_type(terms: Terms | None, kind: OrderType) -> Terms | None:
    return None if terms is None else structs.replace(terms, trigger=TRIGGERS[kind])


STOP = Terms(stop_ticks=110)
CASES: dict[str, tuple[OrderType, dict[str, Any]]] = {
    "limit": (OrderType.LIMIT, {}),
    "limit of a key and a group": (OrderType.LIMIT, {"group_id": 5, "owner_tag": 6}),
    "decrement": (OrderType.LIMIT, {"draft": {"self_trade": SelfTradePrevention.DECREMENT}}),
    "iceberg": (OrderType.LIMIT, {"terms": Terms(display_lots=2)}),
    "gtd": (
        OrderType.LIMIT,
        {
            "terms": Terms(expire_ms=EXPIRES_MS),
            "draft": {"time_in_force": TimeInForce.GTD},
        },
    ),
    "repriced": (
        OrderType.LIMIT,
        {"terms": Terms(reprice=True), "draft": {"post_only": True}},
    ),
    "market": (OrderType.MARKET, {"draft": {"time_in_force": TimeInForce.IOC}}),
    "stop_market": (OrderType.STOP_MARKET, {"terms": STOP}),
    "stop_market gtd": (
        OrderType.STOP_MARKET,
        {
            "terms": structs.replace(STOP, expire_ms=EXPIRES_MS),
            "draft": {"time_in_force": TimeInForce.GTD},
        },
    ),
    "stop_limit": (OrderType.STOP_LIMIT, {"terms": STOP}),
    "stop_limit ioc": (
        OrderType.STOP_LIMIT,
        {"terms": STOP, "draft": {"time_in_force": TimeInForce.IOC}},
    ),
    "stop_limit iceberg": (OrderType.STOP_LIMIT, {"terms": structs.replace(STOP, display_lots=3)}),
    "take_profit by best price": (
        OrderType.TAKE_PROFIT,
        {"terms": structs.replace(STOP, source=SOURCE_BEST)},
    ),
    "take_profit_limit": (OrderType.TAKE_PROFIT_LIMIT, {"terms": STOP}),
    "repriced so far and no further": (
        OrderType.LIMIT,
        {
            "terms": Terms(reprice=True, reprice_limit_ticks=500),
            "draft": {"post_only": True},
        },
    ),
    "trailing with a bound that follows": (
        OrderType.TRAILING_STOP,
        {"terms": Terms(trail_ticks=9, bound_ppm=50_000)},
    ),
    "trailing by amount": (OrderType.TRAILING_STOP, {"terms": Terms(trail_ticks=9)}),
    "trailing by share": (
        OrderType.TRAILING_STOP,
        {"terms": Terms(trail_ppm=1_500, activation_ticks=120)},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_row_gives_the_very_command_that_was_published(
    market: Market, db: psycopg.Connection, clock: TestClock, case: str, side: Side
) -> None:
    kind, options = CASES[case]
    market.submit(db, job_of(market, side, kind, **options))
    [payload] = market.publisher.take()
    units = units_load(db, market.partition_id)
    accepted = UnsequencedRows(
        db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms
    )
    assert accepted.sweep(age_ms=0, limit=10) == [decode_command(payload)]


@pytest.mark.parametrize("case", CASES)
def test_the_answer_shows_the_order_as_its_row_will(
    market: Market, db: psycopg.Connection, case: str
) -> None:
    kind, options = CASES[case]
    job = job_of(market, BUY, kind, **options)
    [order_id] = market.submit(db, job)
    assert isinstance(job.outcome, Accepted)
    assert job.outcome.order is not None
    row = order_of_account(order_id=order_id, account_id=job.account_id)
    assert order_json(job.outcome.order, row["symbol"]) == order_json(row)
    named = {name: value for name, value in job.outcome.order.items() if value is None}
    assert all(row[name] is None for name in named)


@pytest.mark.parametrize("case", CASES)
def test_every_type_reserves_at_its_limit_or_bound_from_acceptance_on(
    market: Market, db: psycopg.Connection, case: str
) -> None:
    """L5: a buy 7 lots at 100 ticks and the taker's fee rounded up, a sell its quantity."""
    kind, options = CASES[case]
    buy, sell = market.submit(
        db, job_of(market, BUY, kind, **options), job_of(market, SELL, kind, **options)
    )
    held = {
        row["order_id"]: row
        for row in Reservation.objects.values(
            "order_id", "amount", "price_ticks", "pool_id", "funded_by", "left_lots"
        )
    }
    assert held[buy]["amount"] == Decimal("0.007007")
    assert held[sell]["amount"] == Decimal("0.007")
    for row in held.values():
        assert row["price_ticks"] == 100
        assert row["pool_id"] is row["funded_by"] is row["left_lots"] is None


def test_what_a_plain_order_has_not_is_null(market: Market, db: psycopg.Connection) -> None:
    market.submit(db, market.place_job(0, BUY, 7, 100))
    row: Mapping[str, Any] = Order.objects.values().get()
    assert {name: row[name] for name in RARE} == dict.fromkeys(RARE)
    assert (row["reprice"], row["group_id"], row["owner_tag"]) == (False, 0, 0)


def test_a_market_order_keeps_what_its_slippage_is_measured_from(
    market: Market, db: psycopg.Connection
) -> None:
    draft = {"reference_ticks": 95, "time_in_force": TimeInForce.IOC}
    market.submit(db, job_of(market, BUY, OrderType.MARKET, draft=draft))
    row = Order.objects.get()
    assert (row.price, row.bound_price, row.reference_price) == (
        None,
        Decimal("1"),
        Decimal("0.95"),
    )


def test_an_expiry_keeps_its_milliseconds(market: Market, db: psycopg.Connection) -> None:
    kind, options = CASES["gtd"]
    market.submit(db, job_of(market, BUY, kind, **options))
    expires_at = Order.objects.get().expires_at
    assert expires_at is not None
    assert expires_at.isoformat() == "2030-01-01T00:00:00.123000+00:00"
