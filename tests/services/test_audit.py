"""risk.audit: it finds each kind of corrupted row, and nothing else."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from config.celery import app
from exchange.domain.ids import id_floor
from exchange.infra import metrics
from exchange.infra.database import connect
from matching.engine.messages import BUY, SELL
from orders.settlement.task import connection_close
from orders.tasks import symbols_freeze
from risk.audit import reservations as reservation_checks
from risk.audit import run as audit_module
from risk.audit.run import INVARIANTS, OPEN_ORDERS_MARK, audit_run
from risk.tasks import report_publish
from tests.factories.ledger import Rig
from wallets import reconciliation

pytestmark = pytest.mark.django_db(transaction=True)

RESET_STATS = """
SELECT pg_stat_reset_single_table_counters(inhrelid) FROM pg_inherits
WHERE inhparent IN ('wallets_entry'::regclass, 'orders_trade'::regclass)
"""


@pytest.fixture
def connection(transactional_db, base_rows):
    with connect("test-audit", index_plans=False) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute(RESET_STATS)
        yield connection
        connection_close()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute(RESET_STATS)


@pytest.fixture
def rig(connection):
    """A small market: trades settled, orders open, one partly filled, one amended."""
    rig = Rig(connection)
    rig.seller = rig.trader(base="2")
    rig.buyer = rig.trader(quote="2000")
    rig.place(rig.seller, SELL, 10_000, 5_000)
    rig.place(rig.buyer, BUY, 10_000, 3_000)
    rig.trades = rig.commit()
    rig.open = rig.place(rig.buyer, BUY, 9_000, 4_000)
    rig.commit()
    rig.settle()
    assert rig.amend(rig.open, price_ticks=9_500)
    rig.commit()
    rig.settle()
    return rig


def audit(rig, *, full=True):
    return audit_run(rig.connection, full=full)


def corrupt(rig, statement, *params):
    """Change rows as a superuser with all triggers off."""
    with rig.connection.transaction():
        rig.connection.execute("SET LOCAL session_replication_role = replica")
        changed = rig.connection.execute(statement, params)
        assert changed.rowcount > 0
    rig.connection.execute("SELECT pg_stat_force_next_flush()")
    rig.connection.execute("SELECT 1")


def broken(report):
    return {breach.invariant for breach in report.breaches}


@pytest.mark.parametrize("full", [True, False])
def test_a_sound_exchange_is_green(rig, full):
    report = audit(rig, full=full)
    assert report.breaches == []
    assert set(report.seconds) == set(INVARIANTS)
    assert report.lag_events == {1: 0}


def test_a_sparing_run_leaves_out_the_open_orders_until_they_are_due_and_no_other_run_does(rig):
    assert audit_run(rig.connection, sparing=True).skipped == {}
    due_ms = reconciliation.marks_read(rig.connection)[OPEN_ORDERS_MARK]
    corrupt(rig, "UPDATE orders_order SET post_only = NOT post_only WHERE id = %s", rig.open)
    reconciliation.marks_write(rig.connection, {OPEN_ORDERS_MARK: due_ms + 3_600_000})
    spared = audit_run(rig.connection, sparing=True)
    assert (spared.breaches, set(spared.skipped)) == ([], {"L5", "B3"})
    assert reconciliation.marks_read(rig.connection)[OPEN_ORDERS_MARK] == due_ms + 3_600_000
    assert broken(audit_run(rig.connection)) == {"B3"}
    corrupt(rig, "UPDATE wallets_auditmark SET value = 1 WHERE name = %s", OPEN_ORDERS_MARK)
    assert broken(audit_run(rig.connection, sparing=True)) == {"B3"}


def test_green_with_events_that_are_not_settled_yet(rig):
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    rig.cancel(rig.open)
    rig.place(rig.buyer, BUY, 9_000, 1_000, sequence=False)  # accepted, not sequenced
    rig.commit()
    report = audit(rig)
    assert report.breaches == []
    assert report.lag_events == {1: 2}
    assert report.lag_seconds[1] > 0


def test_green_while_an_amend_is_on_its_way(rig):
    assert rig.amend(rig.open, price_ticks=9_900, sequence=False)
    assert audit(rig).breaches == []


CORRUPTIONS = [
    (
        "an entry changed",
        "UPDATE wallets_entry SET amount = amount + 1 WHERE kind = 'trade' AND amount > 0",
        {"L1", "L3", "L6", "S1"},
    ),
    (
        "both sides of a deposit changed: the journal still balances",
        "UPDATE wallets_entry SET amount = amount * 2 WHERE kind = 'deposit'",
        {"L3", "L6"},
    ),
    (
        "all entries of a trade deleted",
        "DELETE FROM wallets_entry WHERE kind IN ('trade', 'fee')",
        {"L3", "L6", "S1"},
    ),
    (
        "entries of a trade written twice",
        "INSERT INTO wallets_entry SELECT id + 1000000, journal_id, account_id, asset_id, amount,"
        " kind FROM wallets_entry WHERE kind IN ('trade', 'fee')",
        {"L3", "S1"},
    ),
    (
        "a balance raised",
        "UPDATE wallets_balance SET available = available + 1 WHERE NOT may_be_negative",
        {"L2", "L3"},
    ),
    (
        "a user may go below zero",
        "UPDATE wallets_balance SET may_be_negative = true WHERE reserved > 0",
        {"L4"},
    ),
    (
        "reserved funds made available",
        "UPDATE wallets_balance SET available = available + reserved, reserved = 0"
        " WHERE reserved > 0",
        {"L5"},
    ),
    (
        "a reservation too small, and the balance with it",
        "WITH less AS (UPDATE wallets_reservation SET amount = amount - 0.01 RETURNING account_id,"
        " asset_id) UPDATE wallets_balance b SET reserved = reserved - 0.01,"
        " available = available + 0.01 FROM less WHERE b.account_id = less.account_id"
        " AND b.asset_id = less.asset_id",
        {"L5"},
    ),
    (
        "a reservation at another price than its order",
        "UPDATE wallets_reservation SET price_ticks = price_ticks + 1",
        {"L5"},
    ),
    (
        "an amend that never comes",
        "UPDATE wallets_reservation SET pending_amend_id = 77",
        {"L5"},
    ),
    (
        "an acknowledged order gone",
        "DELETE FROM orders_order WHERE status = 'filled'",
        {"O1"},
    ),
    (
        "more filled than traded",
        "UPDATE orders_order SET filled = filled + 0.0001, quantity = quantity + 0.0001"
        " WHERE status = 'filled'",
        {"O2"},
    ),
    (
        "an open order's quantity changed",
        "UPDATE orders_order SET quantity = quantity + 0.0001 WHERE status = 'open'",
        {"B3", "L5"},
    ),
    (
        "two orders swap places in the queue",
        "UPDATE orders_order SET priority_seq = priority_seq + 1 WHERE status = 'open'",
        {"B3"},
    ),
    (
        "the symbol's state changed by hand",
        "UPDATE exchange_symbol SET state = 'halt'",
        {"B3"},
    ),
    (
        "a trade deleted",
        "DELETE FROM orders_trade",
        {"L6", "O2", "S1"},
    ),
    (
        "a trade that no engine made",
        "INSERT INTO orders_trade SELECT id + 1, symbol_id, engine_seq, price, quantity,"
        " quote_amount, maker_order_id, taker_order_id, maker_account_id, taker_account_id,"
        " taker_side, created_at FROM orders_trade",
        {"O2", "S1"},
    ),
    (
        "a trade counted twice in the journal",
        "UPDATE orders_enginejournal SET trade_ids = trade_ids || trade_ids"
        " WHERE cardinality(trade_ids) > 0",
        {"S1"},
    ),
    (
        "a journal row lost",
        "DELETE FROM orders_enginejournal WHERE last_seq = 3",
        {"S1"},
    ),
    (
        "the cursor moved beyond the engine",
        "UPDATE orders_settlementcursor SET last_seq = last_seq + 5",
        {"S1"},
    ),
]


@pytest.mark.parametrize(
    ("case", "statement", "invariants"), CORRUPTIONS, ids=lambda value: str(value)[:40]
)
def test_corruption_is_found(rig, case, statement, invariants):
    assert audit(rig, full=False).is_green
    # Settled rows are looked at once: this lets the incremental run look at them again.
    rig.connection.execute("DELETE FROM wallets_auditmark WHERE name LIKE 'journal%'")
    corrupt(rig, statement)
    assert broken(audit(rig, full=True)) == invariants, case
    assert broken(audit(rig, full=False)) >= invariants - {"O2"}, case


def test_missing_guard_is_found(rig):
    partition = f"wallets_entry_p{datetime.now(UTC):%Y%m}"
    rig.connection.execute(f"ALTER TABLE {partition} DISABLE TRIGGER entry_append_only")
    try:
        report = audit(rig)
        assert [breach.invariant for breach in report.breaches] == ["L6"]
        assert partition in report.breaches[0].detail
    finally:
        rig.connection.execute(f"ALTER TABLE {partition} ENABLE TRIGGER entry_append_only")


def test_marks_move_only_when_green_and_verified_sums_carry_on(rig, monkeypatch):
    monkeypatch.setattr(reconciliation, "SETTLE_MARGIN_S", 0)
    assert audit(rig, full=False).is_green
    mark = reconciliation.marks_read(rig.connection)["entries"]
    sums = {
        (account_id, asset_id): total
        for account_id, asset_id, total in rig.connection.execute(
            "SELECT account_id, asset_id, total FROM wallets_auditedbalance"
        ).fetchall()
    }
    assert sums[rig.seller, rig.base_id] == Decimal("1.7")
    rig.place(rig.seller, SELL, 10_000, 1_000)
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    rig.commit()
    rig.settle()
    assert audit(rig, full=False).is_green
    later = reconciliation.marks_read(rig.connection)["entries"]
    assert later > mark
    corrupt(rig, "UPDATE wallets_balance SET available = available + 1 WHERE account_id = %s",
            rig.seller)  # fmt: skip
    assert broken(audit(rig, full=False)) == {"L2", "L3"}
    assert reconciliation.marks_read(rig.connection)["entries"] == later


def test_entry_that_committed_behind_the_mark_is_no_false_alarm(rig, monkeypatch):
    monkeypatch.setattr(reconciliation, "SETTLE_MARGIN_S", -3_600)  # a mark far too bold
    assert audit(rig, full=False).is_green
    assert reconciliation.marks_read(rig.connection)["entries"] > id_floor(
        int(datetime.now(UTC).timestamp() * 1_000)
    )
    monkeypatch.undo()
    rig.place(rig.seller, SELL, 10_000, 1_000)
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    rig.commit()
    rig.settle()
    assert audit(rig, full=False).breaches == []
    assert audit(rig, full=True).breaches == []


def test_command_prints_a_table_and_exits_with_one_on_a_breach(rig):
    out = StringIO()
    call_command("audit", "--full", stdout=out)
    assert "green" in out.getvalue()
    for invariant in INVARIANTS:
        assert invariant in out.getvalue()
    corrupt(rig, "UPDATE wallets_balance SET available = available + 1 WHERE account_id = %s",
            rig.seller)  # fmt: skip
    out = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("audit", "--full", stdout=out)
    assert caught.value.code == 1
    assert "L3" in out.getvalue()
    assert "BROKEN" in out.getvalue()


def test_what_is_not_checked_is_said(rig, monkeypatch):
    """Too much is unsettled to tell which orders are in motion: no silent pass."""
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    rig.commit()
    monkeypatch.setattr(reservation_checks, "UNSETTLED_ROWS_MAX", 0)
    report = audit(rig)
    assert report.is_green
    assert list(report.skipped) == ["L5"]
    out = StringIO()
    call_command("audit", "--full", stdout=out)
    assert "in part" in out.getvalue()
    assert "the reservation of each order was not checked" in out.getvalue()
    out = StringIO()
    call_command("audit", "--full", "--json", stdout=out)
    assert list(json.loads(out.getvalue())["skipped"]) == ["L5"]
    monkeypatch.undo()
    rig.settle()
    assert audit(rig).skipped == {}


@pytest.mark.parametrize("damage", ["price = price + 0.000000001", "filled = quantity"])
def test_an_order_off_the_grid_is_a_finding_and_not_the_end_of_the_audit(rig, damage):
    corrupt(rig, f"UPDATE orders_order SET {damage} WHERE id = %s", rig.open)
    assert {"B3", "L5"} <= broken(audit(rig))


def test_command_prints_json(rig):
    out = StringIO()
    call_command("audit", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert found["green"] is True
    assert set(found["invariants"]) == set(INVARIANTS)
    assert found["settlement_lag"] == {"1": {"events": 0, "seconds": 0.0}}


def test_breach_freezes_the_affected_symbols_by_command(rig):
    corrupt(rig, "UPDATE wallets_balance SET available = available + 1 WHERE account_id = %s",
            rig.seller)  # fmt: skip
    report = audit(rig)
    assert report.symbols_affected() == ["BTC-USDT"]
    assert "orders.tasks.symbols_freeze" in app.tasks
    assert symbols_freeze(report.symbols_affected(), "audit: L3 broken") == 1
    row = rig.connection.execute(
        "SELECT kind, symbol_id, engine_seq, note FROM orders_command WHERE kind = 'set_state'"
    ).fetchall()
    assert row == [("set_state", rig.symbol.pk, None, "audit: L3 broken")]
    assert symbols_freeze(report.symbols_affected(), "again") == 0  # one is on its way


def test_every_invariant_is_a_metric(rig):
    report_publish(audit(rig))
    values = {
        sample.labels["invariant"]: sample.value
        for family in metrics.AUDIT_OK.collect()
        for sample in family.samples
    }
    assert values == dict.fromkeys(audit_module.INVARIANTS, 1.0)
