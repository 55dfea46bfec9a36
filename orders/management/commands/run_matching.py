"""`manage.py run_matching`: one partition's matching worker, or the standby that waits for it."""

import gc
import os
import secrets
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any, Final

import psycopg
import redis
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from prometheus_client import Counter

from exchange.domain.ids import IdGenerator, id_time_ms
from exchange.infra.database import connect, node_number, plans_keep
from exchange.infra.health import recency_check, serve, standard_checks
from exchange.infra.metrics import (
    BATCH_SIZE,
    ENGINE_EPOCH,
    ENGINE_SEQUENCE,
    LEASE_HELD,
    STREAM_LAG,
    UNSEQUENCED_AGE_SECONDS,
    stage_timed,
)
from exchange.infra.redis import redis_client
from exchange.infra.system_clock import SystemClock
from exchange.realtime.publish import Publisher
from matching.worker.arrivals import Arrivals
from matching.worker.loop import Worker
from matching.worker.ports import CommitRefused, EngineFailed, LeaseLost, StreamDown
from matching.worker.redis import RedisFeed, RedisStream
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX
from orders.recording.results import PostgresResults
from orders.recording.unsequenced import UnsequencedRows
from orders.recovery.engine import LOADING_LEASE_S
from orders.recovery.lease import Lease, lease_acquire, lease_release
from orders.recovery.partition import Loaded, partition_load
from orders.settlement.task import SettlementNotifier

PARTITION_DEFAULT: Final = 1
STANDBY_POLL_S: Final = 0.25
STEP_SILENCE_MAX_S: Final = 10.0
GAUGES_EVERY_S: Final = 2.0
# Exit codes of a worker that must not go on; its supervisor starts the next worker.
EXIT_LEASE_LOST: Final = 3
EXIT_ENGINE_FAILED: Final = 4
EXIT_DATABASE: Final = 5
# Long-lived orders make collector runs slow and useless: the books hold no reference cycles.
GC_THRESHOLDS: Final = (50_000, 20, 100)

log = structlog.get_logger(__name__)

_WAITING_SINCE = """
SELECT least(
    (SELECT min(id) FROM orders_order WHERE engine_seq IS NULL
        AND symbol_id IN (SELECT id FROM exchange_symbol WHERE partition_id = %(id)s)),
    (SELECT min(id) FROM orders_command WHERE engine_seq IS NULL AND partition_id = %(id)s))
"""
STREAM_ENTRIES: Final = Counter(
    "takas_stream_entries", "Stream entries that were not what they should be", ["what"]
)
SWEPT: Final = Counter("takas_swept", "Commands found by the sweep instead of on the stream")
TRANSPORT_FAILURES: Final = Counter(
    "takas_transport_failures", "Failed tries to reach Redis from the matching worker", ["what"]
)


class Stop:
    """Set by SIGTERM and SIGINT: the worker finishes its batch, then releases the lease."""

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


class Command(BaseCommand):
    help = "Run the matching worker of one partition; a second one stands by to take over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--partition", type=int, default=PARTITION_DEFAULT)

    def handle(self, **options: Any) -> None:
        process = MatchingProcess(options["partition"], Stop())
        process.health_serve()
        code = process.run()
        if code:
            sys.exit(code)


class MatchingProcess:
    """Waits for the lease, loads the partition, and runs the worker's loop to its end."""

    def __init__(self, partition_id: int, stop: Stop) -> None:
        self.partition_id = partition_id
        self.stop = stop
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stepped_at = time.monotonic()
        self._label = str(partition_id)
        self._gauges_at = 0.0

    def health_serve(self) -> None:
        """Serve probes: a worker that stands by is ready, a worker that hangs is not alive."""
        stepped = recency_check(
            lambda: self.stepped_at, limit_seconds=STEP_SILENCE_MAX_S, what="turn of the loop"
        )
        serve(
            "matching",
            settings.METRICS_PORT,
            standard_checks(),
            live={"loop": stepped},
            tolerated=("redis",),
        )

    def run(self) -> int:
        """Run to the end and return the exit code: 0 after a clean stop."""
        LEASE_HELD.labels(self._label).set(0)
        try:
            with connect("matching") as connection:
                lease = self._lease_wait(connection)
                return 0 if lease is None else self._lead(connection, lease)
        except LeaseLost:
            log.critical("matching.lease_lost", partition_id=self.partition_id)
            return EXIT_LEASE_LOST
        except (EngineFailed, CommitRefused) as error:
            log.critical("matching.engine_failed", error=repr(error.__cause__), exc_info=True)
            return EXIT_ENGINE_FAILED
        except psycopg.Error as error:
            log.exception("matching.database_failed", error=str(error))
            return EXIT_DATABASE

    def _lease_wait(self, connection: psycopg.Connection) -> Lease | None:
        """Stand by until this process has the lease; None when it is told to stop first."""
        is_told = False
        while not self.stop.is_set:
            self._stepped()
            lease = lease_acquire(connection, partition_id=self.partition_id, owner=self.owner)
            if lease is not None:
                return lease
            if not is_told:
                log.info("matching.standing_by", partition_id=self.partition_id)
                is_told = True
            time.sleep(STANDBY_POLL_S)
        return None

    def _lead(self, connection: psycopg.Connection, lease: Lease) -> int:
        log.info("matching.lease_taken", partition_id=self.partition_id, epoch=lease.epoch)
        clock = SystemClock()
        # Ids by the wall clock, like those of orders: a trade must not seem older than its orders.
        ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
        loaded = partition_load(connection, lease, ids, self._loads)
        plans_keep(connection)
        client = redis_client()
        stream = RedisStream(client, self.partition_id)
        worker = self._worker(connection, lease, loaded, ids, clock, client, stream)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        LEASE_HELD.labels(self._label).set(1)
        ENGINE_EPOCH.labels(self._label).set(lease.epoch)
        while not self.stop.is_set:
            sequenced = worker.step()
            self._stepped()
            if sequenced:
                BATCH_SIZE.labels("match").observe(sequenced)
            if self.stepped_at >= self._gauges_at:
                self._gauges(connection, worker, stream)
        lease_release(
            connection,
            lease,
            published_seq=worker.published_seq,
            stream_position=worker.stream_position,
        )
        log.info("matching.stopped", partition_id=self.partition_id, sequence=worker.committed_seq)
        return 0

    def _stepped(self) -> None:
        """Note that this process gets further: it is alive."""
        self.stepped_at = time.monotonic()

    def _loads(self) -> None:
        """Note that the load gets further: it may be silent for as long as its lease runs now."""
        self.stepped_at = time.monotonic() + LOADING_LEASE_S - STEP_SILENCE_MAX_S

    def _worker(
        self,
        connection: psycopg.Connection,
        lease: Lease,
        loaded: Loaded,
        ids: IdGenerator,
        clock: SystemClock,
        client: redis.Redis,
        stream: RedisStream,
    ) -> Worker:
        publisher = Publisher(client)
        notifier = SettlementNotifier(publisher, self.partition_id)
        notifier.start()
        feed = RedisFeed(
            publisher,
            partition_id=self.partition_id,
            epoch=lease.epoch,
            engine=loaded.engine,
            units=loaded.units,
            feeds=loaded.feeds,
            clock=clock,
            notify_settlement=notifier.notify,
        )
        return Worker(
            engine=loaded.engine,
            arrivals=Arrivals(
                engine=loaded.engine,
                stream=stream,
                unsequenced=UnsequencedRows(
                    connection,
                    partition_id=self.partition_id,
                    units=loaded.units,
                    blocked=loaded.blocked,
                ),
                clock=clock,
                position=lease.stream_position,
            ),
            results=PostgresResults(connection, lease=lease, loaded=loaded, ids=ids),
            feed=feed,
            clock=clock,
            next_id=ids.next_id,
            published_seq=lease.published_seq,
            faulty_ids=loaded.faulty_ids,
            set_aside=loaded.set_aside,
            urgent=loaded.urgent,
            careful=COMMANDS_PER_BATCH_MAX if lease.is_after_failure else 0,
            measure=stage_timed,
        )

    def _gauges(self, connection: psycopg.Connection, worker: Worker, stream: RedisStream) -> None:
        self._gauges_at = self.stepped_at + GAUGES_EVERY_S
        ENGINE_SEQUENCE.labels(self._label).set(worker.committed_seq)
        row = connection.execute(_WAITING_SINCE, {"id": self.partition_id}).fetchone()
        since = row[0] if row is not None else None
        age_ms = time.time_ns() // 1_000_000 - id_time_ms(since) if since is not None else 0
        UNSEQUENCED_AGE_SECONDS.labels(self._label).set(max(0, age_ms) / 1_000)
        counts = worker.counts
        STREAM_ENTRIES.labels("unwanted").inc(counts.duplicates)
        STREAM_ENTRIES.labels("garbage").inc(counts.garbage)
        SWEPT.inc(counts.swept)
        TRANSPORT_FAILURES.labels("stream").inc(counts.stream_failures)
        TRANSPORT_FAILURES.labels("feed").inc(counts.feed_failures)
        if any((counts.garbage, counts.stream_failures, counts.feed_failures)):
            log.warning(
                "matching.transport",
                sequence=worker.committed_seq,
                garbage=counts.garbage,
                stream_failures=counts.stream_failures,
                feed_failures=counts.feed_failures,
            )
        counts.reset()
        if worker.is_degraded():
            return
        try:
            STREAM_LAG.labels(self._label).set(stream.lag(worker.stream_position))
        except StreamDown:
            TRANSPORT_FAILURES.labels("stream").inc()
