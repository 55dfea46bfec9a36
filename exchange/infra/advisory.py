"""Advisory locks: a periodic task that is already running somewhere is simply skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

import psycopg

# Our class of advisory locks; the number has no meaning but must not change between releases.
LOCK_CLASS: Final = 84_115

# One lock per symbol for who asks for its states; the number must not change between releases.
STATE_LOCK_CLASS: Final = 84_116


class PeriodicTask(IntEnum):
    """One key per kind of work that must not run twice at once."""

    PARTITIONS = 1
    FORGET_CLIENT_ORDER_IDS = 2
    JOURNAL_RETENTION = 3
    AUDIT = 4


@contextmanager
def periodic_lock(
    connection: psycopg.Connection, task: PeriodicTask, *, wait: bool = False
) -> Iterator[bool]:
    """Hold the task's lock for the block; yields False at once where someone else holds it.

    With `wait` it waits for the other to end instead. The lock belongs to the session: it ends
    with the connection, whatever kills the process.
    """
    key = (LOCK_CLASS, int(task))
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
