"""Query plans of the hot statements: rows are found by their keys, whatever the statistics.

A table that has just grown has no statistics. What is chosen then must not read more than it needs.
"""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composable, Composed

from exchange.domain.enums import OrderStatus, Side
from exchange.infra.database import connect
from exchange.realtime.frames import SymbolText
from orders.intake import sql
from orders.intake.deferred import CLOCK_SLACK_S, UNSETTLED
from orders.reads.look_ups import AMENDED
from orders.recording.changes import BatchChanges
from orders.recording.rows import COMMANDS, TRADES, order_statements, orders_statement
from orders.recording.unsequenced import COMMANDS_BY_ID, ORDERS_BY_ID
from orders.settlement.batch import JOURNAL
from tests.factories.market import Market
from tests.factories.partition import Partition, stop_limit_job
from wallets import locks, reserving
from wallets.locks import BALANCES_APPLY, BALANCES_MISSING, RESERVATIONS_LOCKED
from wallets.reservation_rows import END, KEEP
from wallets.selectors import HOUSE

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 3_000


def plan(db: psycopg.Connection, statement: Composable, params: Any) -> str:
    rows = db.execute(Composed([SQL("EXPLAIN "), statement]), params)
    return "\n".join(line for (line,) in rows)


def test_the_orders_of_a_batch_are_found_one_by_one(
    db: psycopg.Connection, partition: Partition
) -> None:
    """Bounds on the ids once made it read all between them, again for each order."""
    [order_id] = partition.send(stop_limit_job(partition.market, Side.SELL, 5, 80, 90))
    columns = [column.name for column in db.execute("SELECT * FROM orders_order").description or ()]
    others = ", ".join(f'"{name}"' for name in columns if name != "id")
    db.execute(
        f"INSERT INTO orders_order (id, {others})"
        f" SELECT id + n, {others} FROM orders_order, generate_series(1, {ROWS}) AS n"
    )
    changes = BatchChanges({})
    for number in range(ROWS):
        change = changes.change(order_id + number, partition.market.symbol_id)
        change.status = OrderStatus.CANCELLED
    texts = SymbolText(partition.market.rules.units)
    [(statement, params)] = order_statements(changes, lambda _: texts, datetime.now(UTC))

    text = plan(db, SQL(statement), params)

    assert "Index Cond: (id = ANY (ARRAY[new.id]))" in text
    assert "Materialize" not in text


def test_balances_are_found_by_account_and_asset(
    db: psycopg.Connection, partition: Partition
) -> None:
    """By the asset alone it once read everybody's balance, for each of them."""
    text = plan(
        db,
        SQL(BALANCES_APPLY),
        ([1, 2], [1, 1], [Decimal(1), Decimal(1)], [Decimal(0), Decimal(0)]),
    )

    assert "balance_one_per_asset" in text
    assert "(account_id = ANY (ARRAY[change.account_id]))" in text
    assert "(asset_id = ANY (ARRAY[change.asset_id]))" in text
    assert "Nested Loop" in text
    changes, balances = text.index("Sort Key: c.account_id, c.asset_id"), text.index("Index Scan")
    assert changes < balances, "balances are locked in the order of the sorted changes"


LOCKS = {"LOCK_BALANCES": locks.LOCK_BALANCES, "LOCK_AMENDED": sql.LOCK_AMENDED}
STATEMENTS = {
    name: text
    for module in (sql, reserving)
    for name, text in vars(module).items()
    if name.isupper() and "%s" in str(text) and name not in LOCKS
}
NOT_OF_TABLES = ("Function Scan", "CTE Scan", "Subquery Scan", "Bitmap Heap Scan")


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(text, id=name) for name, text in STATEMENTS.items()),
        *(
            pytest.param(text.format(skip_locked=word), id=f"{name}{word}")
            for name, text in LOCKS.items()
            for word in ("", locks.SKIP_LOCKED)
        ),
    ],
)
def test_a_kept_plan_of_intake_reads_tables_by_key_alone(text: str) -> None:
    """Made for empty tables, where a whole table costs less than a key: it stays when they grow."""
    assert_reads_by_key(text)


def assert_reads_by_key(text: str) -> None:
    names = list(dict.fromkeys(re.findall(r"%\(\w+\)s", text)))
    for number, name in enumerate(names, 1):
        text = text.replace(name, f"${number}")
    numbers = itertools.count(len(names) + 1)
    text = re.sub("%s", lambda _: f"${next(numbers)}", text)
    values = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", text))))
    arguments = f"({values})" if values else ""
    with connect("test-plans", keep_plans=True) as connection:
        connection.execute("ANALYZE")
        connection.execute(f"PREPARE kept AS {text}".encode())
        [[[made]]] = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE kept {arguments}".encode())

    scans = [node for node in nodes(made["Plan"]) if "Scan" in node["Node Type"]]

    assert scans
    for scan in scans:
        assert scan["Node Type"] in NOT_OF_TABLES or scan.get("Index Cond"), scan


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(AMENDED, id="amended"),
        pytest.param(ORDERS_BY_ID, id="orders-by-id"),
        pytest.param(COMMANDS_BY_ID, id="commands-by-id"),
        pytest.param(COMMANDS, id="commands"),
        pytest.param(TRADES, id="trades"),
        pytest.param(orders_statement("orders_order"), id="orders"),
        pytest.param(JOURNAL, id="journal"),
        pytest.param(RESERVATIONS_LOCKED, id="reservations-locked"),
        pytest.param(HOUSE, id="house"),
        pytest.param(KEEP, id="keep"),
        pytest.param(END, id="end"),
        pytest.param(BALANCES_MISSING, id="balances-missing"),
        pytest.param(BALANCES_APPLY, id="balances-apply"),
    ],
)
def test_a_kept_plan_of_other_hot_statements_reads_tables_by_key_alone(text: str) -> None:
    assert_reads_by_key(text)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_only_what_asks_for_it_keeps_its_plan(market: Market) -> None:
    """The driver would prepare by itself what it has run a few times."""
    with connect("test-plans", keep_plans=True) as connection:
        for lots in range(1, RUNS + 1):
            connection.execute("SELECT 'by chance'")
            market.place(connection, 0, Side.BUY, lots, 90)
        kept = [
            row[0] for row in connection.execute("SELECT statement FROM pg_prepared_statements")
        ]

    assert not [text for text in kept if "by chance" in text]
    assert len([text for text in kept if "INTO orders_order" in text]) == 1


RUNS = 10  # twice as many as the driver needs


def test_what_a_refusal_waits_for_is_found_by_the_account(db: psycopg.Connection) -> None:
    text = plan(db, SQL(UNSETTLED), (CLOCK_SLACK_S, [1, 2]))

    assert "account_id = asked.account_id" in text
    assert "Index Cond: (id = ANY" in text
    assert "Seq Scan on orders_order" not in text
    assert "Seq Scan on wallets_reservation" not in text
    assert "journal_position" in text
