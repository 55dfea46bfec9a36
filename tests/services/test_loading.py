"""orders.recovery from rows: the same commands, the same book."""

from typing import Any

import psycopg
import pytest

from exchange.domain.enums import (
    ListKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.infra.database import connect
from exchange.selectors import units_load
from matching.engine.messages import SOURCE_BEST, Place
from matching.state.codec import decode_command
from matching.worker.ports import LeaseLost
from orders.recording.unsequenced import UnsequencedRows
from orders.recovery.engine import LOADING_LEASE_S
from orders.recovery.lease import lease_acquire
from orders.recovery.partition import Loaded, partition_load
from orders.recovery.rows import ROWS_PER_FETCH
from tests.factories.advanced_jobs import list_job, special_job, submit
from tests.factories.market import Market
from tests.factories.worker import Surroundings, TestClock
from tests.lab.bench.recovery import ORDERS_PER_LEVEL, Crowd

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
SOON_MS = 4_000_000_000_000
OPEN_ORDERS = 1_000

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
    [payload] = market.publisher.take()
    units = units_load(db, market.partition_id)
    accepted = UnsequencedRows(
        db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms
    )
    assert accepted.sweep(age_ms=0, limit=10) == [decode_command(payload)]


STOP_LIMIT: dict[str, Any] = {"type": OrderType.STOP_LIMIT, "stop_ticks": 120}
TRAILING: dict[str, Any] = {"type": OrderType.TRAILING_STOP}


@pytest.mark.parametrize(
    "options",
    [
        {"type": OrderType.STOP_MARKET, "stop_ticks": 120},
        {"type": OrderType.TAKE_PROFIT, "stop_ticks": 120, "source": SOURCE_BEST},
        {**STOP_LIMIT, "display_lots": 2, "post_only": True, "reprice": True},
        {**STOP_LIMIT, "time_in_force": TimeInForce.FOK},
        {"type": OrderType.TAKE_PROFIT_LIMIT, "stop_ticks": 120, "expire_ms": SOON_MS},
        {**TRAILING, "trail_ticks": 5},
        {**TRAILING, "trail_ppm": 12_300, "activation_ticks": 130, "expire_ms": SOON_MS + 1},
        {"display_lots": 3, "owner_tag": 7},
        {"expire_ms": SOON_MS + 999},
        {"post_only": True, "reprice": True, "self_trade": SelfTradePrevention.DECREMENT},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_row_with_terms_gives_the_very_command_that_intake_published(
    market: Market, db: psycopg.Connection, clock: TestClock, options: dict[str, Any]
) -> None:
    job = special_job(market, 0, SELL, 7, 123, **options)
    job.group_id = 11
    submit(market, db, job)
    [payload] = market.publisher.take()
    published = decode_command(payload)
    assert isinstance(published, Place)
    assert published.group_id == 11
    units = units_load(db, market.partition_id)
    accepted = UnsequencedRows(
        db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms
    )
    assert accepted.sweep(age_ms=0, limit=10) == [published]


@pytest.mark.parametrize("kind", list(ListKind))
def test_a_lists_rows_give_the_very_command_that_intake_published(
    market: Market, db: psycopg.Connection, clock: TestClock, kind: ListKind
) -> None:
    orders = [
        special_job(market, 0, SELL, 7, 123),
        special_job(market, 0, SELL, 7, 1, type=OrderType.STOP_MARKET, stop_ticks=90),
    ]
    if kind is not ListKind.OCO:
        orders.insert(0, special_job(market, 0, BUY, 7, 100))
    if kind is ListKind.OTO:
        orders.pop()
    submit(market, db, list_job(market, 0, kind, *orders))
    [payload] = market.publisher.take()
    units = units_load(db, market.partition_id)
    accepted = UnsequencedRows(
        db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms
    )
    assert accepted.sweep(age_ms=0, limit=10) == [decode_command(payload)]


def test_other_commands_come_back_from_their_rows(
    market: Market, db: psycopg.Connection, clock: TestClock
) -> None:
    order_id = market.place(db, 0, SELL, 5, 100)
    market.submit(db, market.cancel_job(0, order_id), market.cancel_all_job(0))
    published = [decode_command(payload) for payload in market.publisher.take()]
    units = units_load(db, market.partition_id)
    accepted = UnsequencedRows(
        db, partition_id=market.partition_id, units=units, now_ms=clock.now_ms
    )
    assert accepted.sweep(age_ms=0, limit=10) == published
    assert accepted.sweep(age_ms=0, limit=2) == published[:2]
    assert accepted.sweep(age_ms=100, limit=10) == [], "too young"


class CountingCursor(psycopg.Cursor[Any]):
    """Counts the statements of its process."""

    statements = 0

    def execute(self, *args: Any, **options: Any) -> "CountingCursor":
        CountingCursor.statements += 1
        super().execute(*args, **options)
        return self


def counted_load(market: Market) -> tuple[Loaded, int]:
    with connect("test-matching") as connection:
        lease = lease_acquire(connection, partition_id=market.partition_id, owner="test")
        assert lease is not None
        connection.cursor_factory = CountingCursor
        before = CountingCursor.statements
        return partition_load(connection, lease, market.ids), CountingCursor.statements - before


def test_open_orders_are_loaded_in_as_few_statements_from_rows_and_from_a_snapshot(
    market: Market, db: psycopg.Connection
) -> None:
    crowd = Crowd(
        market.partition_id,
        market.symbol_id,
        market.account_ids[0],
        market.base_id,
        market.ids.next_id(),
    )
    _, for_none = counted_load(market)
    crowd.add(db, 1, OPEN_ORDERS)
    loaded, for_many = counted_load(market)
    assert for_none < for_many <= for_none + 1, "none for a single order, one for the lease"
    book = loaded.engine.books[market.symbol_id]
    assert len(book.orders) == OPEN_ORDERS
    assert book.best_ask() == 1_000
    assert book.level_quantity(1, 1_001) == ORDERS_PER_LEVEL * 4
    crowd.snapshot_keep(db, loaded, market.ids.next_id())
    again, from_snapshot = counted_load(market)
    assert again.is_hash_equal
    assert from_snapshot < for_many + 5, "the snapshot, and where it is"
    assert again.engine.books[market.symbol_id].advanced is not None
    assert len(again.engine.books[market.symbol_id].orders) == OPEN_ORDERS


def test_a_loader_keeps_its_lease_however_long_it_takes_and_notices_its_loss(
    market: Market,
) -> None:
    with connect("test-matching") as connection:
        lease = lease_acquire(connection, partition_id=market.partition_id, owner="test")
        assert lease is not None
        partition_load(connection, lease, market.ids)
        row = connection.execute(
            "SELECT lease_until - clock_timestamp() > make_interval(secs => %s)"
            " FROM orders_enginepartition WHERE id = %s",
            (LOADING_LEASE_S - 10, market.partition_id),
        ).fetchone()
        assert row == (True,)
        connection.execute(
            "UPDATE orders_enginepartition SET epoch = epoch + 1 WHERE id = %s",
            (market.partition_id,),
        )
        with pytest.raises(LeaseLost):
            partition_load(connection, lease, market.ids)


def test_a_long_load_says_that_it_is_alive_and_notices_in_the_middle_that_its_lease_is_lost(
    market: Market, db: psycopg.Connection
) -> None:
    """A worker that loaded a million orders was once ended, again and again, as one that hangs."""
    account_id, first_id = market.account_ids[0], market.ids.next_id()
    crowd = Crowd(market.partition_id, market.symbol_id, account_id, market.base_id, first_id)
    crowd.add(db, 1, 2 * ROWS_PER_FETCH + 1)
    signs: list[str] = []
    fence = "UPDATE orders_enginepartition SET epoch = epoch + 1 WHERE id = %s"

    def alive() -> None:
        signs.append("alive")
        if len(signs) == 3:
            db.execute(fence, (market.partition_id,))

    with connect("test-matching") as connection:
        lease = lease_acquire(connection, partition_id=market.partition_id, owner="test")
        assert lease is not None
        with pytest.raises(LeaseLost):
            partition_load(connection, lease, market.ids, alive)
    assert len(signs) == 3, "at its start and for each part of the rows"


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
