"""tests.lab.bench.filling: a made past that the exchange takes for its own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from exchange.domain.enums import Side
from exchange.infra import partition_ranges, partitions
from exchange.infra.database import connect
from exchange.models import Symbol
from matching.engine.messages import OPEN, POST_ONLY
from orders.settlement.batch import settle_batch
from risk.audit.run import audit_run
from tests.factories.market import Market
from tests.factories.worker import Surroundings
from tests.lab.bench.filling import Filling, tables_fill
from tests.lab.bench.venue import PRICE_TICKS

pytestmark = pytest.mark.django_db(transaction=True)

FILLING = Filling(orders=400, open=100, trades=120, days=33)


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    """A connection; the partitions that were attached meanwhile are dropped."""
    with connect("test-filling", index_plans=False) as connection:
        before = {one.table: partitions.attached(connection, one.table) for one in TABLES}
        yield connection
        for table, kept in before.items():
            for partition in partitions.attached(connection, table):
                if partition not in kept:
                    connection.execute(f"DROP TABLE {partition.name}")


TABLES = partition_ranges.TABLES


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def filled(owner: psycopg.Connection, market: Market) -> None:
    symbol = Symbol.objects.get(pk=market.symbol_id)
    tables_fill(owner, FILLING, symbol, market.account_ids, lambda _: None)


@pytest.mark.parametrize("is_plain", [True, False], ids=["from rows", "from a snapshot"])
def test_the_audit_of_everything_is_green_before_and_after_trading_on(
    market: Market,
    owner: psycopg.Connection,
    db: psycopg.Connection,
    around: Surroundings,
    is_plain: bool,
) -> None:
    before = around.start()
    if not is_plain:
        market.submit(db, market.state_job(POST_ONLY), market.state_job(OPEN))
        around.deliver()
        before.drain()
        while settle_batch(db, market.partition_id) is not None:
            pass
    filled(owner, market)
    for full in (False, True):
        assert audit_run(owner, full=full).breaches == []
    before.kill()
    worker = around.start()
    assert worker.loaded.is_hash_equal
    book = worker.loaded.engine.books[market.symbol_id]
    assert (book.advanced is None) == is_plain
    assert len(book.orders) == FILLING.open
    bid, ask = book.best_bid(), book.best_ask()
    assert bid is not None
    assert ask is not None
    assert 2 * bid <= PRICE_TICKS <= ask // 2, "far from the market"
    market.place(db, 0, Side.SELL, 5, PRICE_TICKS)
    market.place(db, 1, Side.BUY, 15, ask)
    around.deliver()
    worker.drain()
    assert len(book.orders) == FILLING.open - 1, "an old order is taken"
    while settle_batch(db, market.partition_id) is not None:
        pass
    for full in (False, True):
        assert audit_run(owner, full=full).breaches == []


def test_the_audit_of_everything_does_not_look_for_each_orders_trades_in_each_days_table(
    market: Market, owner: psycopg.Connection, around: Surroundings
) -> None:
    """That took orders x days: years for ten million orders of half a year."""
    around.start()
    filled(owner, market)
    before = looks(owner)
    assert audit_run(owner, full=True).breaches == []
    assert 0 < looks(owner) - before < FILLING.orders * FILLING.days / 10


def looks(connection: psycopg.Connection) -> int:
    """How often a table of trades was looked into."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    return count(
        connection,
        "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_user_tables"
        " WHERE relname ~ '^orders_trade_p'",
    )


def test_rows_are_as_many_as_asked_for_and_spread_over_the_days(
    market: Market, owner: psycopg.Connection, around: Surroundings
) -> None:
    around.start()
    filled(owner, market)
    assert count(owner, "SELECT count(*) FROM orders_order") == FILLING.orders
    assert count(owner, "SELECT count(*) FROM orders_trade") == FILLING.trades
    assert count(owner, "SELECT count(*) FROM wallets_reservation") == FILLING.open
    assert count(owner, "SELECT count(*) FROM wallets_entry WHERE kind IN ('trade', 'fee')") == (
        7 * FILLING.trades
    )
    days = "SELECT count(DISTINCT tableoid) FROM orders_trade"
    assert count(owner, days) >= FILLING.days
    months = "SELECT count(DISTINCT tableoid) FROM orders_order"
    assert count(owner, months) >= 2
    young = "SELECT count(*) FROM orders_order WHERE id > (SELECT max(id) FROM orders_trade)"
    assert count(owner, young) < FILLING.orders / 10
    assert not [one for one in partitions.check(owner, datetime.now(UTC)) if one.alarms]
