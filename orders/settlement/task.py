"""When settlement runs: the matching worker asks for it, and one Celery task settles until idle.

The worker sets a flag in Redis after it has committed events and, if the flag was not set, sends
the task. The task clears the flag before it reads the journal, and reads again where the flag was
set meanwhile. Under load it lingers: it sets the flag itself, waits and reads again, so that no
further task is sent. Without Redis there is no flag: beat sends the task every second.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import psycopg
import redis
import structlog
from celery import Celery, shared_task
from kombu.exceptions import KombuError
from prometheus_client import Counter

from exchange.domain.units import plain
from exchange.infra.advisory import linger_lock
from exchange.infra.database import connect
from exchange.infra.metrics import BATCH_SIZE, STAGE_SECONDS
from exchange.infra.redis import FEED_CHANNEL, redis_client, settle_flag_key
from exchange.realtime.frames import Frame, balance_frame, encode_frames
from exchange.realtime.publish import Publisher
from orders.settlement.batch import Idle, SettledBatch, StreamGap, settle_next

TASK: Final = "orders.tasks.settle_partition"  # an earlier name: queued tasks carry it
SETTLE_RUN_SECONDS: Final = 5.0
# A flag that was set for a run that died must not delay the next run for long.
FLAG_LIFE_MS: Final = 2_000
# Under load a task costs more than the settlement of its batch, and a larger batch costs less.
LINGER_S: Final = 0.006
LINGER_FROM_COMMANDS: Final = 4
IDLE: Final = psycopg.pq.TransactionStatus.IDLE
NOTIFY_FAILED: Final = Counter("takas_nudge_failed", "Settlement tasks that could not be sent")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SettlementNotifier:
    """Sends the settlement task of a partition when notified, at most one at a time.

    A broker that is down can block a sender for minutes, and the matching worker must never wait.
    So a thread sends the tasks, and the worker only sets an event.
    """

    def __init__(self, publisher: Publisher, partition_id: int) -> None:
        self._publisher = publisher
        self._partition_id = partition_id
        self._is_wanted = threading.Event()
        # A separate client: this process runs no tasks and is not the Celery application.
        self._celery = Celery("takas-nudge", set_as_current=False)
        self._celery.config_from_object("django.conf:settings", namespace="CELERY")
        self._thread = threading.Thread(target=self._run, name="settlement-nudge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """Ask for a settlement run; returns at once."""
        self._is_wanted.set()

    def send(self) -> bool:
        """Send the task unless the flag says that one is on its way; return whether it was sent."""
        if not self._publisher.settlement_flag_set(self._partition_id):
            return False
        self._celery.send_task(TASK, args=(self._partition_id,), retry=False)
        return True

    def _run(self) -> None:
        while self._is_wanted.wait():
            self._is_wanted.clear()
            try:
                self.send()
            except (redis.RedisError, KombuError, OSError) as error:
                NOTIFY_FAILED.inc()
                log.warning(
                    "matching.nudge_failed", partition_id=self._partition_id, error=str(error)
                )


class SettlementFlag(Protocol):
    """Tells a run of settlement that events were committed after it read the journal."""

    def set(self) -> None:
        """Set the flag: there may be work."""

    def clear(self) -> bool:
        """Clear the flag; return whether it was set."""


class RedisSettlementFlag:
    """The flag of a partition in Redis. Without Redis it is never set, and beat sends the task."""

    def __init__(self, client: redis.Redis, partition_id: int) -> None:
        self._client = client
        self._key = settle_flag_key(partition_id)

    def set(self) -> None:
        try:
            self._client.set(self._key, b"1", px=FLAG_LIFE_MS)
        except redis.RedisError as error:
            log.warning("settlement.bell_unreachable", error=str(error))

    def clear(self) -> bool:
        try:
            return bool(self._client.delete(self._key))
        except redis.RedisError as error:
            log.warning("settlement.bell_unreachable", error=str(error))
            return False


def settle_until_idle(
    step: Callable[[], SettledBatch | Idle],
    flag: SettlementFlag,
    *,
    settled: Callable[[SettledBatch], None],
    is_over: Callable[[], bool],
    linger: Callable[[], None] | None = None,
) -> bool:
    """Settle batch after batch; return whether time ran out with work left.

    `linger` waits for more after a batch of some size; None: never wait.

    No commit is missed. The worker sets the flag after a commit and, if it was not set, sends a
    task. A run clears the flag before it reads, and reads again when the flag was set meanwhile. A
    run that finds the cursor locked sets the flag and tries once more: if the cursor is still
    locked, the run that locked it has yet to read the flag. A run that lingers sets the flag: it
    will read again, so the worker need not send a task.
    """
    flag.clear()
    while True:
        outcome = step()
        if outcome is Idle.LOCKED:
            flag.set()
            outcome = step()
            if outcome is Idle.LOCKED:
                return False
        if isinstance(outcome, SettledBatch):
            settled(outcome)
            if is_over():
                return True
            if linger is not None and _is_worth_lingering(outcome):
                flag.set()
                linger()
        elif not flag.clear():
            return False


def _is_worth_lingering(batch: SettledBatch) -> bool:
    commands = batch.last_seq - batch.first_seq + 1
    return commands >= LINGER_FROM_COMMANDS and not batch.is_full


_connections: dict[int, psycopg.Connection] = {}


def settlement_connection() -> psycopg.Connection:
    """Return this process' connection for settlement, opened anew when it broke."""
    pid = os.getpid()
    connection = _connections.get(pid)
    if connection is not None and connection.info.transaction_status is not IDLE:
        connection.close()  # a task was interrupted during a statement
    if connection is None or connection.closed:
        connection = _connections[pid] = connect("settlement", keep_plans=True)
    return connection


def connection_close() -> None:
    """Close this process' settlement connection; the next task opens a new one."""
    connection = _connections.pop(os.getpid(), None)
    if connection is not None:
        connection.close()


@shared_task(name=TASK)
def settle_partition(partition_id: int) -> None:
    """Settle for SETTLE_RUN_SECONDS at most; send the next task where work is left."""
    client = redis_client()
    try:
        # One run lingers. Two would share the work, and keep each other and the children busy.
        with linger_lock(settlement_connection(), partition_id) as may_linger:
            has_more = _run(client, partition_id, may_linger=may_linger)
    finally:
        client.close()
    if has_more:
        settle_partition.delay(partition_id)


def _run(client: redis.Redis, partition_id: int, *, may_linger: bool) -> bool:
    until = time.monotonic() + SETTLE_RUN_SECONDS
    try:
        return settle_until_idle(
            lambda: _timed_step(partition_id),
            RedisSettlementFlag(client, partition_id),
            settled=lambda batch: _after_commit(client, batch),
            is_over=lambda: time.monotonic() > until,
            linger=(lambda: time.sleep(LINGER_S)) if may_linger else None,
        )
    except (StreamGap, AssertionError):
        # Nothing was changed: the cursor stands before the event that cannot be settled.
        log.critical("settlement.stopped", partition_id=partition_id, exc_info=True)
        raise
    except BaseException:
        # A task's time limit may strike during a statement: a connection with an unread answer
        # would fail every later task of this process.
        connection_close()
        raise


def _timed_step(partition_id: int) -> SettledBatch | Idle:
    started = time.perf_counter()
    outcome = settle_next(settlement_connection(), partition_id)
    if isinstance(outcome, SettledBatch):
        STAGE_SECONDS.labels("settle").observe(time.perf_counter() - started)
        BATCH_SIZE.labels("settle").observe(outcome.trades)
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
    """Return the `balances` frames of the users whose balances changed."""
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
