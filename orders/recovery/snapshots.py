"""Snapshots of the engine: they restore the state that order rows alone do not hold (ADR 0014).

Trailing stops, lists, cancel-afters and queues are not in rows. From the first advanced state on, a
snapshot of the whole engine is written from time to time, in the transaction of a batch; recovery
applies the journal after it. A partition without advanced state has no snapshots and pays nothing.
"""

import time as clock
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import psycopg
import structlog

from matching.engine.core import Engine
from matching.state.snapshot import SnapshotRefused, snapshot_decode, snapshot_encode

# Twenty thousand commands are applied again in well under a second; a snapshot of 100,000 open
# orders takes a tenth of one to write.
SNAPSHOT_EVERY_COMMANDS: Final = 20_000
# With more open orders snapshots are further apart, so that a command's share of their cost stays
# the same: a million orders take a second to write, in which nothing is matched.
OPEN_ORDERS_PER_COMMAND: Final = 5
SNAPSHOTS_KEPT: Final = 3

_INSERT: Final = """
INSERT INTO orders_engineimage (partition_id, last_seq, image, created_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (partition_id, last_seq)
DO UPDATE SET image = excluded.image, created_at = excluded.created_at
"""
_DELETE_OLD: Final = """
DELETE FROM orders_engineimage WHERE partition_id = %(id)s AND last_seq < (
    SELECT min(last_seq) FROM (
        SELECT last_seq FROM orders_engineimage WHERE partition_id = %(id)s
        ORDER BY last_seq DESC LIMIT %(kept)s) AS newest)
"""
# Snapshots are read one by one: nearly always the newest serves, and a snapshot may be large.
_POSITIONS: Final = """
SELECT last_seq FROM orders_engineimage WHERE partition_id = %s AND last_seq <= %s
ORDER BY last_seq DESC
"""
_SNAPSHOT: Final = "SELECT image FROM orders_engineimage WHERE partition_id = %s AND last_seq = %s"

log = structlog.get_logger(__name__)


class SnapshotWriter:
    """Decides for one process when a snapshot is due, and writes it."""

    def __init__(self) -> None:
        self._last_seq: int | None = None  # of the last snapshot that this process wrote

    def due(self, engine: Engine) -> bool:
        """Tell whether the batch just applied has to be committed with a snapshot.

        A process's first batch with advanced state is, and then one every `commands_between`.
        """
        if self._last_seq is not None:
            passed = engine.sequence - self._last_seq
            return passed >= SNAPSHOT_EVERY_COMMANDS and passed >= commands_between(engine)
        return any(book.advanced is not None for book in engine.books.values())

    def write(
        self, connection: psycopg.Connection, partition_id: int, engine: Engine, time: datetime
    ) -> None:
        """Write a snapshot where one is due, in the batch's transaction, before its COMMIT."""
        if not self.due(engine):
            return
        started = clock.monotonic()
        snapshot = snapshot_encode(engine)
        connection.execute(_INSERT, (partition_id, engine.sequence, snapshot, time))
        connection.execute(_DELETE_OLD, {"id": partition_id, "kept": SNAPSHOTS_KEPT})
        self._last_seq = engine.sequence
        log.info(
            "matching.image_written",
            partition=partition_id,
            sequence=engine.sequence,
            bytes=len(snapshot),
            duration_ms=round((clock.monotonic() - started) * 1_000),
        )


def commands_between(engine: Engine) -> int:
    """Return the number of commands from one snapshot to the next."""
    orders = sum(len(book.orders) for book in engine.books.values())
    return max(SNAPSHOT_EVERY_COMMANDS, orders // OPEN_ORDERS_PER_COMMAND)


def has_snapshots(connection: psycopg.Connection, partition_id: int, last_seq: int) -> bool:
    """Tell whether a snapshot was ever written: then rows alone do not hold the engine's state."""
    return connection.execute(_POSITIONS, (partition_id, last_seq)).fetchone() is not None


def engines_kept(
    connection: psycopg.Connection, partition_id: int, last_seq: int
) -> Iterator[Engine]:
    """Yield the engines of the kept snapshots, newest first; log and skip refused snapshots."""
    positions = connection.execute(_POSITIONS, (partition_id, last_seq)).fetchall()
    for (position,) in positions:
        row = connection.execute(_SNAPSHOT, (partition_id, position)).fetchone()
        assert row is not None, "only the writer of the partition deletes snapshots"
        try:
            engine = snapshot_decode(row[0])
            if engine.sequence != position:
                raise SnapshotRefused(f"it is of sequence {engine.sequence}")
        except SnapshotRefused as refusal:
            log.critical(
                "matching.image_refused",
                partition=partition_id,
                sequence=position,
                error=str(refusal),
            )
            continue
        yield engine
