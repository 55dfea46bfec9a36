"""Advisory locks, by which a task that already runs elsewhere is skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

import psycopg

# The first key of the locks of periodic tasks; any number, but the same in every release.
LOCK_CLASS: Final = 84_115

# The first key of the lock on a symbol's market state; the second key is the symbol's id.
STATE_LOCK_CLASS: Final = 84_116

# The first key of the lock of the one run that lingers; the second key is the partition's id.
LINGER_LOCK_CLASS: Final = 84_117


class PeriodicTask(IntEnum):
    """The second key of the lock of each kind of periodic task."""

    PARTITIONS = 1
    FORGET_CLIENT_ORDER_IDS = 2
    JOURNAL_RETENTION = 3
    AUDIT = 4


@contextmanager
def periodic_lock(
    connection: psycopg.Connection, task: PeriodicTask, *, wait: bool = False
) -> Iterator[bool]:
    """Hold the task's lock for the block; yields False at once where another session holds it.

    With `wait` it waits until the lock is free. The lock belongs to the session of Postgres, so it
    ends with the connection, whatever kills the process.
    """
    with _lock(connection, (LOCK_CLASS, int(task)), wait=wait) as held:
        yield held


@contextmanager
def linger_lock(connection: psycopg.Connection, partition_id: int) -> Iterator[bool]:
    """Hold the lock for the block; yields False at once where another run of settlement has it."""
    with _lock(connection, (LINGER_LOCK_CLASS, partition_id), wait=False) as held:
        yield held


@contextmanager
def _lock(connection: psycopg.Connection, key: tuple[int, int], *, wait: bool) -> Iterator[bool]:
    if wait:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", key)
        held = True
    else:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", key).fetchone()
        assert row is not None
        held = row[0]
    try:
        yield held
    finally:
        if held and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", key)
