"""From rows back to the engine: the same commands, the same book, fast enough to fail over."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from exchange.database import connect
from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange.domain.ids import IdGenerator
from matching.codec import decode_command
from matching.lease import lease_acquire
from orders.accepted import AcceptedRows
from orders.loading import partition_load, units_load
from tests.factories.market import Market, market_make
from tests.factories.worker import Surroundings, TestClock

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
OPEN_ORDERS = 100_000
LOAD_S_MAX = 5.0


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def market(clock: TestClock) -> Market:
    return market_make(ids=IdGenerator(1, clock.now_ms))


@pytest.fixture
def db() -> Iterator[psycopg.Connection]:
    with connect("test-intake") as connection:
        yield connection


MARKET: dict[str, Any] = {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}


@pytest.mark.parametrize(
    ("side", "lots", "options"),
    [
        (BUY, 7, {}),
        (SELL, 7, {"time_in_force": TimeInForce.FOK}),
        (SELL, 7, {"post_only": True}),
        (BUY, 7, {"self_trade": SelfTradePrevention.NONE}),
        (SELL, 7, MARKET),
        (BUY, 0, {**MARKET, "quote_atoms": 12_345}),
    ],
    ids=["limit", "fok", "post-only", "self-trade", "market", "quote-amount"],
)
def test_a_row_gives_the_very_command_that_intake_published(
    market: Market,
    db: psycopg.Connection,
    clock: TestClock,
    side: Side,
    lots: int,
    options: dict[str, Any],
) -> None:
    market.submit(db, market.place_job(0, side, lots, 123, **options))
    [payload] = market.outbox.take()
    units = units_load(db, market.partition_id)
    accepted = AcceptedRows(db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms)
    assert accepted.sweep(age_ms=0, limit=10) == [decode_command(payload)]


def test_other_commands_come_back_from_their_rows(
    market: Market, db: psycopg.Connection, clock: TestClock
) -> None:
    order_id = market.place(db, 0, SELL, 5, 100)
    market.submit(db, market.cancel_job(0, order_id), market.cancel_all_job(0))
    published = [decode_command(payload) for payload in market.outbox.take()]
    units = units_load(db, market.partition_id)
    accepted = AcceptedRows(db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms)
    assert accepted.sweep(age_ms=0, limit=10) == published
    assert accepted.sweep(age_ms=0, limit=2) == published[:2]
    assert accepted.sweep(age_ms=100, limit=10) == [], "too young"


def test_a_hundred_thousand_open_orders_are_loaded_in_time(
    market: Market, db: psycopg.Connection, clock: TestClock
) -> None:
    first = market.ids.next_id()
    db.execute(
        "INSERT INTO orders_order (id, account_id, symbol_id, client_order_id, side, type,"
        " time_in_force, post_only, self_trade, price, quantity, status, filled, filled_quote,"
        " maker_fee_ppm, taker_fee_ppm, engine_seq, priority_seq, created_at, updated_at)"
        " SELECT %(first)s + n, %(account)s, %(symbol)s, 'c' || n, 'sell', 'limit', 'gtc', false,"
        " 'cancel_incoming', 10 + (n %% 500) * 0.01, 0.005, 'open', 0.001, 0.01,"
        " 500, 1000, n, n, now(), now() FROM generate_series(1, %(count)s) AS n",
        {
            "first": first,
            "account": market.account_ids[0],
            "symbol": market.symbol_id,
            "count": OPEN_ORDERS,
        },
    )
    db.execute(
        "INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side,"
        " price_ticks, amount, maker_fee_ppm, taker_fee_ppm, fee_accrued)"
        " SELECT id, account_id, %s, symbol_id, side, 1000, 0, 500, 1000, 0"
        " FROM orders_order WHERE symbol_id = %s",
        (market.base_id, market.symbol_id),
    )
    with connect("test-matching") as connection:
        lease = lease_acquire(connection, partition_id=market.partition_id, owner="test")
        assert lease is not None
        started = time.perf_counter()
        loaded = partition_load(connection, lease, market.ids)
        duration_s = time.perf_counter() - started
    book = loaded.engine.books[market.symbol_id]
    assert len(book.orders) == OPEN_ORDERS
    assert book.best_ask() == 1_000
    assert book.level_quantity(1, 1_000) == OPEN_ORDERS // 500 * 4
    assert duration_s < LOAD_S_MAX


def test_the_last_price_and_the_feeds_sequence_survive_a_restart(
    market: Market, db: psycopg.Connection, clock: TestClock
) -> None:
    around = Surroundings(market, clock)
    market.place(db, 0, SELL, 5, 123)
    market.place(db, 1, BUY, 4, 130)
    around.deliver()
    first = around.start()
    first.run()
    first.kill()
    second = around.start()
    feed = second.loaded.feeds[market.symbol_id]
    assert (feed.sequence, feed.last_ticks) == (1, 123)
    around.close()
