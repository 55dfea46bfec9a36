"""Partitions of the big tables: made ahead, pruned by id and date, attached under writes."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise

import psycopg
import pytest
from django.core.management import CommandError, call_command

from exchange.domain.ids import IdGenerator, id_floor
from exchange.infra import partition_ranges, partitions
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect

pytestmark = pytest.mark.django_db(transaction=True)

FAR = datetime(2031, 3, 15, 12, tzinfo=UTC)  # a time of whose partitions no other test knows


@pytest.fixture(autouse=True)
def named(base_rows):
    """What the rows of these tests name."""
    from tests.factories.models import SymbolFactory, accounts_at

    accounts_at(1, 2)
    SymbolFactory.create(code="BTC-USDT", id=1)


@pytest.fixture
def connection():
    with connect("test", index_plans=False) as connection:
        yield connection


@pytest.fixture
def far_partitions(connection):
    before = {t.table: partitions.attached(connection, t.table) for t in partition_ranges.TABLES}
    yield partitions.ensure(connection, FAR)
    for table, kept in before.items():
        for partition in partitions.attached(connection, table):
            if partition not in kept:
                connection.execute(f"DROP TABLE {partition.name}")


def millis(moment):
    return int(moment.timestamp() * 1_000)


def scanned(connection, query, *params):
    plan = connection.execute(f"EXPLAIN (FORMAT JSON) {query}", params).fetchone()[0]
    return sorted(set(relations(plan)))


def relations(plan):
    if isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan["Relation Name"]
        for value in plan.values():
            yield from relations(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from relations(value)


def order_row(order_id, moment):
    return (order_id, 1, 1, f"c-{order_id}", "buy", "limit", "gtc", False, "cancel_incoming",
            "1", "1", "new", "0", "0", 500, 1_000, moment, moment)  # fmt: skip


ORDER_COPY = """
COPY orders_order (id, account_id, symbol_id, client_order_id, side, type, time_in_force,
    post_only, self_trade, price, quantity, status, filled, filled_quote, maker_fee_ppm,
    taker_fee_ppm, created_at, updated_at) FROM STDIN
"""


def orders_insert(connection, rows):
    with connection.transaction(), connection.cursor().copy(ORDER_COPY) as copy:
        for row in rows:
            copy.write_row(row)


def test_ensure_makes_each_period_once_and_without_gaps(connection, far_partitions):
    days = [name for name in far_partitions if name.startswith("orders_trade")]
    assert days[0] == "orders_trade_p20310314"
    assert len(days) == 1 + 1 + partition_ranges.DAYS_AHEAD
    assert [name for name in far_partitions if name.startswith("wallets_entry")] == [
        "wallets_entry_p203102",
        "wallets_entry_p203103",
        "wallets_entry_p203104",
        "wallets_entry_p203105",
        "wallets_entry_p203106",
    ]
    assert partitions.ensure(connection, FAR) == []
    for table in partition_ranges.TABLES:
        made = [p for p in partitions.attached(connection, table.table) if p.name in far_partitions]
        assert all(a.high == b.low for a, b in pairwise(made))


def test_new_months_of_orders_leave_room_for_updates(connection, far_partitions):
    rows = connection.execute(
        "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(%s)", (far_partitions,)
    ).fetchall()
    assert len(rows) == len(far_partitions)
    for name, options in rows:
        wanted = 50 if name.startswith("orders_order") else 100
        assert options == [f"fillfactor={wanted}"], name


def test_check_alarms_before_the_ranges_run_out(connection, far_partitions):
    assert not any(c.alarms for c in partitions.check(connection, FAR))
    late = FAR + timedelta(days=partition_ranges.DAYS_AHEAD - 1)  # one day of trades ahead
    coverages = {c.table: c for c in partitions.check(connection, late)}
    assert coverages["orders_trade"].ahead == 1
    assert coverages["orders_trade"].alarms
    assert not coverages["orders_order"].alarms
    gone = FAR + timedelta(days=400)
    assert all(c.alarms and not c.has_now for c in partitions.check(connection, gone))


def test_check_command_says_so_in_its_exit_code(connection):
    call_command("partitions", "--ensure", "--check", stdout=StringIO())
    detached = partitions.attached(connection, "orders_trade")[-partition_ranges.DAYS_AHEAD + 1 :]
    for partition in detached:
        connection.execute(f"DROP TABLE {partition.name}")
    try:
        with pytest.raises(CommandError, match="too few partitions"):
            call_command("partitions", "--check", stdout=StringIO())
    finally:
        call_command("partitions", "--ensure", stdout=StringIO())


def test_command_refuses_while_another_process_is_at_it(connection):
    with periodic_lock(connection, PeriodicTask.PARTITIONS) as held:
        assert held
        with pytest.raises(CommandError, match="another process"):
            call_command("partitions", "--ensure")


@pytest.mark.parametrize("table", ["orders_order", "orders_trade", "wallets_entry"])
def test_id_look_up_touches_one_partition(connection, far_partitions, table):
    assert len(partitions.attached(connection, table)) > 2
    found = scanned(connection, f"SELECT * FROM {table} WHERE id = {id_floor(millis(FAR)) + 7}")
    assert len(found) == 1
    assert found[0] in far_partitions


@pytest.mark.parametrize("table", ["orders_order", "orders_trade", "wallets_entry"])
def test_query_bounded_by_date_touches_one_partition(connection, far_partitions, table):
    low, high = (id_floor(millis(FAR + timedelta(hours=h))) for h in (0, 3))
    found = scanned(connection, f"SELECT * FROM {table} WHERE id >= {low} AND id < {high}")
    assert len(found) == 1
    assert found[0] in far_partitions


def test_row_outside_every_range_is_refused_loudly(connection):
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        orders_insert(connection, [order_row(id_floor(millis(FAR)), FAR)])


def test_new_partition_has_the_parents_keys_and_guards(connection, far_partitions):
    trade_id = id_floor(millis(FAR)) + 1
    connection.execute(
        "INSERT INTO orders_trade (id, symbol_id, engine_seq, price, quantity, quote_amount,"
        " maker_order_id, taker_order_id, maker_account_id, taker_account_id, taker_side,"
        " created_at) VALUES (%s, 1, 1, 1, 1, 1, 1, 2, 1, 2, 'buy', now())",
        (trade_id,),
    )
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"):
        connection.execute("DELETE FROM orders_trade WHERE id = %s", (trade_id,))
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"):
        connection.execute("UPDATE orders_trade_p20310315 SET price = 2")
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = %s"
    assert (
        connection.execute(indexes, ("orders_trade",)).fetchone()
        == connection.execute(indexes, ("orders_trade_p20310315",)).fetchone()
    )


@pytest.mark.parametrize("name", ["orders_trade_p20310315", "wallets_entry_p203103"])
def test_application_may_only_add_to_history(connection, far_partitions, name):
    may = [
        connection.execute(
            "SELECT has_table_privilege('takas_app', %s, %s)", (name, privilege)
        ).fetchone()[0]
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    ]
    assert may == [True, True, False, False, False]


def test_attach_and_detach_go_on_under_writes(connection, far_partitions):
    """A writer commits batch after batch while partitions come and go."""
    stop = threading.Event()
    written: list[int] = []
    failures: list[psycopg.Error] = []

    def write():
        ids = IdGenerator(5, lambda: millis(FAR))
        try:
            with connect("writer", index_plans=False) as own:
                while not stop.is_set():
                    rows = [order_row(ids.next_id(), FAR) for _ in range(20)]
                    orders_insert(own, rows)
                    written.extend(row[0] for row in rows)
        except psycopg.Error as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        later = FAR + timedelta(days=200)
        for _ in range(3):
            made = [n for n in partitions.ensure(connection, later) if "orders_order" in n]
            assert len(made) == partition_ranges.MONTHS_AHEAD + 2
            for name in made:
                partitions.detach(connection, "orders_order", name)
                connection.execute(f"DROP TABLE {name}")
    finally:
        stop.set()
        writer.join()
    assert failures == []
    count = connection.execute(
        "SELECT count(*) FROM orders_order_p203103 WHERE id = ANY(%s)", (written,)
    ).fetchone()
    assert count == (len(written),)
    assert len(written) > 20


def test_writers_and_an_attach_do_not_wait_for_each_other(connection, far_partitions):
    ids = IdGenerator(6, lambda: millis(FAR))
    with connect("writer", index_plans=False) as writer:
        with writer.transaction():
            orders_insert(writer, [order_row(ids.next_id(), FAR)])
            made = partitions.ensure(connection, FAR + timedelta(days=200))
            months = [name for name in made if "orders_order" in name]
            assert len(months) == partition_ranges.MONTHS_AHEAD + 2, "while a writer is not through"
        month = next(p for p in partitions.attached(connection, "orders_order") if p.name in months)
        for name in months:
            partitions.detach(connection, "orders_order", name)
            connection.execute(f"DROP TABLE {name}")
        with connection.transaction(force_rollback=True):
            partitions.attach(
                connection, partition_ranges.ORDERS, month.name, month.low, month.high
            )
            orders_insert(writer, [order_row(ids.next_id(), FAR)])  # while an attach is not through


def test_retention_detaches_what_is_old_and_keeps_the_table(connection, far_partitions):
    now = FAR + timedelta(days=10)
    assert partitions.retain(connection, now, keep_days={}) == []
    order_id = id_floor(millis(FAR - timedelta(days=20))) + 1
    orders_insert(connection, [order_row(order_id, FAR)])
    try:
        # 15 March + 10 days - 20 days is in March: February may go, with all months before, but
        # not while an order of it rests.
        detached = partitions.retain(connection, now, keep_days={"orders_order": 20})
        assert "orders_order_p203102" not in detached
        connection.execute("UPDATE orders_order SET finished_at = now() WHERE id = %s", [order_id])
        ended = partitions.retain(connection, now, keep_days={"orders_order": 20})
        detached += ended
        assert ended == ["orders_order_p203102"]
        assert connection.execute("SELECT id FROM orders_order_p203102").fetchall() == [(order_id,)]
        assert connection.execute("SELECT id FROM orders_order").fetchall() == []
    finally:
        for name in detached:
            connection.execute(f"DROP TABLE {name}")
        partitions.ensure(connection, datetime.now(UTC))


def test_entries_are_never_dropped(connection, far_partitions):
    detached = partitions.retain(
        connection, FAR + timedelta(days=60), keep_days={"wallets_entry": 20}, drop=True
    )
    try:
        assert "wallets_entry_p203102" in detached
        exists = "SELECT to_regclass('wallets_entry_p203102') IS NOT NULL"
        assert connection.execute(exists).fetchone() == (True,)
    finally:
        for name in detached:
            connection.execute(f"DROP TABLE {name}")
        partitions.ensure(connection, datetime.now(UTC))
