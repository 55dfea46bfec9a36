"""Celery tasks of orders: settle, ask for what the clock says, forget what has done its duty.

Every task may run twice, at the same time as itself, or die anywhere: settlement is idempotent by
its cursor, the clean-ups delete what is past its date.
"""

import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

import psycopg
import redis
import structlog
from celery import shared_task
from django.conf import settings

from exchange.domain.ids import id_floor
from exchange.domain.units import plain
from exchange.infra import metrics
from exchange.infra.advisory import Job, job_lock
from exchange.infra.database import connect
from exchange.infra.redis import FEED_CHANNEL, redis_client, settle_flag_key
from exchange.realtime.publish import Frame, balance_frame, encode_frames
from orders.intake.publish import RedisPublisher
from orders.markets.halts import symbols_halt
from orders.markets.rules import symbol_rules_converge
from orders.markets.schedules import schedules_run
from orders.markets.states import NOTE_LENGTH_MAX
from orders.markets.suspensions import barred_orders_cancel
from orders.recovery.availability import unsequenced_ages
from orders.settlement.batch import Idle, SettledBatch, StreamGap, settle_next
from wallets.entries import ledger_ids
from wallets.fragments import AUDIT_MARKS

SETTLE_RUN_SECONDS: Final = 5.0
# A bell that rang for a run that died must not keep the next one silent for long.
BELL_LIFE_MS: Final = 2_000
CLIENT_ORDER_ID_KEEP_MS: Final = 24 * 3_600 * 1_000
ROWS_PER_DELETE: Final = 5_000
DELETES_PER_RUN_MAX: Final = 2_000
JOURNAL_KEEP_DAYS: Final = 30

IDLE: Final = psycopg.pq.TransactionStatus.IDLE

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Doorbell(Protocol):
    """How a run learns that something was committed after it looked."""

    def ring(self) -> None:
        """Leave word that there may be work."""

    def silence(self) -> bool:
        """Take the word away; True when there was one."""


class RedisDoorbell:
    """The nudge flag of a partition. Without Redis nobody rings: beat looks every second."""

    def __init__(self, client: redis.Redis, partition_id: int) -> None:
        self._client = client
        self._key = settle_flag_key(partition_id)

    def ring(self) -> None:
        try:
            self._client.set(self._key, b"1", px=BELL_LIFE_MS)
        except redis.RedisError as error:
            log.warning("settlement.bell_unreachable", error=str(error))

    def silence(self) -> bool:
        try:
            return bool(self._client.delete(self._key))
        except redis.RedisError as error:
            log.warning("settlement.bell_unreachable", error=str(error))
            return False


def settle_until_idle(
    step: Callable[[], SettledBatch | Idle],
    doorbell: Doorbell,
    *,
    settled: Callable[[SettledBatch], None],
    is_over: Callable[[], bool],
) -> bool:
    """Settle batch after batch; return whether time ran out with work left.

    No wake-up is lost. Whoever commits events rings and, if the bell was silent, sends a task. A
    run silences the bell before it looks, and looks again when the bell rang meanwhile. A run that
    finds the cursor locked rings and tries once more: if it is locked still, the one who holds it
    has yet to listen for the bell, and will.
    """
    doorbell.silence()
    while True:
        outcome = step()
        if outcome is Idle.LOCKED:
            doorbell.ring()
            outcome = step()
            if outcome is Idle.LOCKED:
                return False
        if isinstance(outcome, SettledBatch):
            settled(outcome)
            if is_over():
                return True
        elif not doorbell.silence():
            return False


_connections: dict[int, psycopg.Connection] = {}


def _connection() -> psycopg.Connection:
    """This process' own connection for settlement, opened anew when it broke."""
    pid = os.getpid()
    connection = _connections.get(pid)
    if connection is not None and connection.info.transaction_status is not IDLE:
        connection.close()  # a task was interrupted in the middle of a statement
    if connection is None or connection.closed:
        connection = _connections[pid] = connect("settlement")
    return connection


def connection_close() -> None:
    """Close this process' settlement connection; the next task opens a new one."""
    connection = _connections.pop(os.getpid(), None)
    if connection is not None:
        connection.close()


@shared_task
def settle_partition(partition_id: int) -> None:
    """Settle what is after the partition's cursor, for SETTLE_RUN_SECONDS at most, then go on."""
    client = redis_client()
    until = time.monotonic() + SETTLE_RUN_SECONDS
    try:
        has_more = settle_until_idle(
            lambda: _timed_step(partition_id),
            RedisDoorbell(client, partition_id),
            settled=lambda batch: _after_commit(client, batch),
            is_over=lambda: time.monotonic() > until,
        )
    except (StreamGap, AssertionError):
        # Nothing was changed: the cursor stands before the event that cannot be settled.
        log.critical("settlement.stopped", partition_id=partition_id, exc_info=True)
        raise
    except BaseException:
        # A time limit strikes anywhere, in the middle of a statement too: a connection that waits
        # for an answer nobody reads would fail every later task of this process.
        connection_close()
        raise
    finally:
        client.close()
    if has_more:
        settle_partition.delay(partition_id)


def _timed_step(partition_id: int) -> SettledBatch | Idle:
    started = time.perf_counter()
    outcome = settle_next(_connection(), partition_id)
    if isinstance(outcome, SettledBatch):
        metrics.STAGE_SECONDS.labels("settle").observe(time.perf_counter() - started)
        metrics.BATCH_SIZE.labels("settle").observe(outcome.trades)
    return outcome


def _after_commit(client: redis.Redis, batch: SettledBatch) -> None:
    log.debug(
        "settlement.batch",
        partition_id=batch.partition_id,
        sequence=batch.last_seq,
        trades=batch.trades,
        entries=batch.entries,
    )
    frames = balance_frames(batch)
    if not frames:
        return
    try:
        client.publish(FEED_CHANNEL, encode_frames(frames))
    except redis.RedisError as error:
        log.warning("settlement.push_failed", error=str(error))


def balance_frames(batch: SettledBatch) -> list[Frame]:
    """What the users whose balances changed are told."""
    return [
        balance_frame(
            row.account_id,
            asset=batch.asset_codes[row.asset_id],
            available=plain(row.available),
            reserved=plain(row.reserved),
            sequence=row.version,
        )
        for row in batch.balances
        if not row.may_be_negative
    ]


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
    """Measure every partition, served or not, and settle those with a lag: beat's safety net."""
    connection = _connection()
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
    """Halt these symbols by command, those not halted or closed yet; return how many."""
    frozen = symbols_halt(_connection(), ledger_ids(), codes, note[:NOTE_LENGTH_MAX])
    if frozen:
        log.critical("symbols.frozen", symbols=frozen, note=note)
    return len(frozen)


@shared_task(name="orders.tasks.schedules_run")
def schedules_run_now() -> int:
    """Send the market states that are due by the clock; return how many."""
    try:
        return schedules_run(_connection(), ledger_ids(), RedisPublisher(), datetime.now(UTC))
    except BaseException:
        connection_close()  # as in settle_partition; symbols held for a schedule are free with it
        raise


@shared_task
def symbol_rules_send_all() -> int:
    """Send the rules of symbols that the engine was not told yet; return how many."""
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
        job_lock(connection, Job.FORGET_CLIENT_ORDER_IDS) as held,
    ):
        return client_order_ids_forget(connection, time.time_ns() // 1_000_000) if held else 0


def client_order_ids_forget(connection: psycopg.Connection, now_ms: int) -> int:
    """Walk the ids oldest first, a page a transaction, up to orders too young to have ended."""
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
    -- An engine comes back from its oldest image that is kept and all that happened since.
    AND journal.last_seq <= coalesce((
        SELECT min(image.last_seq) FROM orders_engineimage image
        WHERE image.partition_id = journal.partition_id), journal.last_seq)
ORDER BY journal.id LIMIT %s
"""  # noqa: S608 - a piece of ours


@shared_task
def journal_trim() -> int:
    """Delete engine journal rows past their retention: published, settled and audited ones only."""
    with connect("trim") as connection, job_lock(connection, Job.JOURNAL_RETENTION) as held:
        if not held:
            return 0
        keep_days: int = getattr(settings, "JOURNAL_KEEP_DAYS", JOURNAL_KEEP_DAYS)
        return journal_rows_trim(connection, keep_days)


def journal_rows_trim(connection: psycopg.Connection, keep_days: int) -> int:
    """Delete batch after batch; the last row always stays, so that positions can be compared."""
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
