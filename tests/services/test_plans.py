"""Query plans of the hot statements: rows are found by their keys, whatever the statistics.

A table that has just grown has no statistics. What is chosen then must not read more than it needs.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composable, Composed

from exchange.domain.enums import OrderStatus, Side
from exchange.realtime.publish import SymbolText
from orders.intake.deferred import CLOCK_SLACK_S, UNSETTLED
from orders.intake.sql import LOCK_AMENDED
from orders.recording.changes import BatchChanges
from orders.recording.rows import order_statements
from tests.factories.desk import Desk, stop_limit_job
from wallets.locks import BALANCES_APPLY
from wallets.reserving import BARRED

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 3_000


def plan(db: psycopg.Connection, statement: Composable, params: Any) -> str:
    rows = db.execute(Composed([SQL("EXPLAIN "), statement]), params)
    return "\n".join(line for (line,) in rows)


def test_the_orders_of_a_batch_are_found_one_by_one(db: psycopg.Connection, desk: Desk) -> None:
    """Bounds on the ids once made it read all between them, again for each order."""
    [order_id] = desk.send(stop_limit_job(desk.market, Side.SELL, 5, 80, 90))
    columns = [column.name for column in db.execute("SELECT * FROM orders_order").description or ()]
    others = ", ".join(f'"{name}"' for name in columns if name != "id")
    db.execute(
        f"INSERT INTO orders_order (id, {others})"
        f" SELECT id + n, {others} FROM orders_order, generate_series(1, {ROWS}) AS n"
    )
    changes = BatchChanges({})
    for number in range(ROWS):
        change = changes.change(order_id + number, desk.market.symbol_id)
        change.status = OrderStatus.CANCELLED
    texts = SymbolText(desk.market.rules.units)
    [(statement, params)] = order_statements(changes, lambda _: texts, datetime.now(UTC))

    text = plan(db, statement, params)

    assert "(id = new.id)" in text
    assert "Materialize" not in text


def test_balances_are_found_by_account_and_asset(db: psycopg.Connection, desk: Desk) -> None:
    """By the asset alone it once read everybody's balance, for each of them."""
    text = plan(
        db,
        SQL(BALANCES_APPLY),
        ([1, 2], [1, 1], [Decimal(1), Decimal(1)], [Decimal(0), Decimal(0)]),
    )

    assert "balance_one_per_asset" in text
    assert "(account_id = c.account_id) AND (asset_id = c.asset_id)" in text


def test_the_reservations_of_an_amend_and_its_pool_are_found_by_keys(
    db: psycopg.Connection, desk: Desk
) -> None:
    [order_id] = desk.send(stop_limit_job(desk.market, Side.SELL, 5, 80, 90))
    columns = (
        "account_id, asset_id, symbol_id, side, price_ticks, amount, maker_fee_ppm, taker_fee_ppm,"
        " fee_accrued"
    )
    db.execute(
        f"INSERT INTO wallets_reservation (order_id, pool_id, left_lots, {columns})"
        f" SELECT order_id + n, order_id + n - n %% 2, 1, {columns}"
        " FROM wallets_reservation, generate_series(2, %s) AS n WHERE order_id = %s",
        (ROWS, order_id),
    )
    amended = {"order_ids": [order_id + 10]}

    text = plan(db, SQL(LOCK_AMENDED), amended)

    assert "Index Cond: (list_id = own.pool_id)" in text
    assert "Seq Scan" not in text
    assert [row[0] for row in db.execute(LOCK_AMENDED, amended)] == [order_id + 10]


def test_who_may_only_cancel_is_found_by_the_account(db: psycopg.Connection, desk: Desk) -> None:
    """Asked in every batch of intake: by keys alone, however many users there are."""
    db.execute(
        "INSERT INTO exchange_user (username, password, first_name, last_name, email, is_superuser,"
        " is_staff, is_active, is_suspended, date_joined, self_trade_prevention)"
        " SELECT 'crowd-' || n, '', '', '', '', false, false, true, false, now(), 'decrement'"
        f" FROM generate_series(1, {ROWS}) AS n"
    )
    db.execute(
        "INSERT INTO wallets_account (kind, user_id, created_at)"
        " SELECT 'user', id, now() FROM exchange_user WHERE username LIKE 'crowd-%'"
    )

    before = scans(db)
    for _ in range(3):
        assert db.execute(BARRED, (desk.market.account_ids,)).fetchall() == []
    made = {name: count - before[name] for name, count in scans(db).items()}

    most = 3 * len(desk.market.account_ids)
    assert made["wallets_account.seq"] == made["exchange_user.seq"] == 0
    assert 0 < made["wallets_account.idx"] <= most
    assert 0 < made["exchange_user.idx"] <= most


def scans(db: psycopg.Connection) -> dict[str, int]:
    """How often this transaction read tables whole, and by keys: a function shows no plan."""
    return {
        f"{name}.{kind}": count
        for name, *counts in db.execute(
            "SELECT relname, seq_scan, COALESCE(idx_scan, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('exchange_user', 'wallets_account')"
        )
        for kind, count in zip(("seq", "idx"), counts, strict=True)
    }


def test_what_a_refusal_waits_for_is_found_by_the_account(db: psycopg.Connection) -> None:
    text = plan(db, SQL(UNSETTLED), (CLOCK_SLACK_S, [1, 2]))

    assert "account_id = asked.account_id" in text
    assert "Index Cond: (id = ANY" in text
    assert "Seq Scan on orders_order" not in text
    assert "Seq Scan on wallets_reservation" not in text
    assert "journal_position" in text
