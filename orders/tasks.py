"""Celery tasks of orders: work that is due by the clock, and the deletion of rows past their use.

Settlement has its own task (orders/settlement/task.py); beat's safety net for it is here. Every
task may run twice, at the same time as itself, or die anywhere.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog
from celery import shared_task
from django.conf import settings

from exchange.domain.ids import id_floor
from exchange.infra import metrics
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect, process_ids
from orders.intake.publish import RedisPublisher
from orders.markets.halts import symbols_halt
from orders.markets.rules import symbol_rules_converge
from orders.markets.schedules import schedules_run
from orders.markets.states import NOTE_LENGTH_MAX
from orders.markets.suspensions import barred_orders_cancel
from orders.recovery.availability import unsequenced_ages
from orders.settlement.task import connection_close, settle_partition, settlement_connection
from wallets.fragments import AUDIT_MARKS

CLIENT_ORDER_ID_KEEP_MS: Final = 24 * 3_600 * 1_000
ROWS_PER_DELETE: Final = 5_000
DELETES_PER_RUN_MAX: Final = 2_000
JOURNAL_KEEP_DAYS: Final = 30

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LAG = """
SELECT engine.id, engine.last_seq - cursor.last_seq, coalesce(extract(epoch FROM now() - (
    SELECT created_at FROM orders_enginejournal journal
    WHERE journal.partition_id = engine.id AND journal.last_seq > cursor.last_seq
    ORDER BY journal.last_seq LIMIT 1)), 0)::float8
FROM orders_enginepartition engine
JOIN orders_settlementcursor cursor ON cursor.partition_id = engine.id ORDER BY engine.id
"""
_CURSORS_MISSING = """
INSERT INTO orders_settlementcursor (partition_id, last_seq, updated_at)
SELECT id, 0, now() FROM orders_enginepartition ON CONFLICT DO NOTHING
"""


@shared_task
def settle_all() -> None:
    """Measure the lag of every partition, served or not, and settle those that have one."""
    connection = settlement_connection()
    connection.execute(_CURSORS_MISSING)
    for partition_id, age_s in unsequenced_ages(connection, time.time_ns() // 1_000_000).items():
        metrics.UNSEQUENCED_AGE_SECONDS.labels(partition_id).set(age_s)
    for partition_id, events, seconds in connection.execute(_LAG).fetchall():
        metrics.SETTLEMENT_LAG.labels(partition_id).set(events)
        metrics.SETTLEMENT_LAG_SECONDS.labels(partition_id).set(seconds)
        if events > 0:
            settle_partition.delay(partition_id)


@shared_task
def symbols_freeze(codes: list[str], note: str) -> int:
    """Halt by command those of these symbols that are not yet halted or closed; return how many."""
    frozen = symbols_halt(settlement_connection(), process_ids(), codes, note[:NOTE_LENGTH_MAX])
    if frozen:
        log.critical("symbols.frozen", symbols=frozen, note=note)
    return len(frozen)


@shared_task(name="orders.tasks.schedules_run")
def schedules_run_now() -> int:
    """Send the market states that are due by the clock; return how many."""
    try:
        return schedules_run(
            settlement_connection(), process_ids(), RedisPublisher(), datetime.now(UTC)
        )
    except BaseException:
        connection_close()  # as in settle_partition; it frees the state locks too
        raise


@shared_task
def symbol_rules_send_all() -> int:
    """Send the rules of symbols that the engine was not sent yet; return how many."""
    return symbol_rules_converge()


@shared_task(name="orders.tasks.barred_orders_cancel")
def barred_orders_cancel_now() -> int:
    """Send the cancels that orders of suspended users still need; return for how many accounts."""
    return barred_orders_cancel()


_CLIENT_IDS_PAGE = """
SELECT claim.id, claim.order_id, ended.id IS NOT NULL
FROM (
    SELECT id, order_id FROM orders_clientorderid WHERE id > %s ORDER BY id LIMIT %s
) AS claim
LEFT JOIN orders_order ended ON ended.id = claim.order_id
    AND ended.finished_at < now() - make_interval(secs => %s)
ORDER BY claim.id
"""


@shared_task
def forget_client_order_ids() -> int:
    """Free client order ids of orders that ended 24 h ago; return how many."""
    with (
        connect("forget") as connection,
        periodic_lock(connection, PeriodicTask.FORGET_CLIENT_ORDER_IDS) as held,
    ):
        return client_order_ids_forget(connection, time.time_ns() // 1_000_000) if held else 0


def client_order_ids_forget(connection: psycopg.Connection, now_ms: int) -> int:
    """Free ids oldest first, a page a transaction, up to orders younger than the time to keep.

    Returns how many ids were freed. `now_ms`: Unix milliseconds.
    """
    young = id_floor(now_ms - CLIENT_ORDER_ID_KEEP_MS)
    last_id = forgotten = 0
    for _ in range(DELETES_PER_RUN_MAX):
        page = connection.execute(
            _CLIENT_IDS_PAGE, (last_id, ROWS_PER_DELETE, CLIENT_ORDER_ID_KEEP_MS / 1_000)
        ).fetchall()
        forgotten += _delete(
            connection,
            "DELETE FROM orders_clientorderid WHERE id = ANY(%s)",
            [claim_id for claim_id, _, has_ended in page if has_ended],
        )
        if len(page) < ROWS_PER_DELETE or all(order_id >= young for _, order_id, _ in page):
            break
        last_id = page[-1][0]
    return forgotten


_JOURNAL_PAST: Final = f"""
SELECT journal.id FROM orders_enginejournal journal
JOIN orders_enginepartition engine ON engine.id = journal.partition_id
JOIN orders_settlementcursor cursor ON cursor.partition_id = journal.partition_id
JOIN ({AUDIT_MARKS}) AS mark ON mark.name = 'journal:' || journal.partition_id
WHERE journal.last_seq < least(engine.published_seq, cursor.last_seq, mark.value)
    AND journal.created_at < now() - make_interval(days => %s)
    -- An engine comes back from its oldest snapshot that is kept and all that happened since.
    AND journal.last_seq <= coalesce((
        SELECT min(image.last_seq) FROM orders_engineimage image
        WHERE image.partition_id = journal.partition_id), journal.last_seq)
ORDER BY journal.id LIMIT %s
"""  # noqa: S608 - a piece of ours


@shared_task
def journal_trim() -> int:
    """Delete journal rows past their retention that are published, settled and audited."""
    with (
        connect("trim") as connection,
        periodic_lock(connection, PeriodicTask.JOURNAL_RETENTION) as held,
    ):
        if not held:
            return 0
        keep_days: int = getattr(settings, "JOURNAL_KEEP_DAYS", JOURNAL_KEEP_DAYS)
        return journal_rows_trim(connection, keep_days)


def journal_rows_trim(connection: psycopg.Connection, keep_days: int) -> int:
    """Delete rows in bounded transactions; return how many. Each partition's last row stays."""
    assert keep_days > 0
    trimmed = 0
    for _ in range(DELETES_PER_RUN_MAX):
        found = connection.execute(_JOURNAL_PAST, (keep_days, ROWS_PER_DELETE)).fetchall()
        trimmed += _delete(
            connection,
            "DELETE FROM orders_enginejournal WHERE id = ANY(%s)",
            [row[0] for row in found],
        )
        if len(found) < ROWS_PER_DELETE:
            break
    return trimmed


def _delete(connection: psycopg.Connection, statement: str, ids: Iterable[int]) -> int:
    doomed = list(ids)
    return connection.execute(statement, (doomed,)).rowcount if doomed else 0
