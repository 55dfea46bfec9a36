"""Advisory locks: a periodic task that is already running somewhere is simply skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

import psycopg

# Our class of advisory locks; the number has no meaning but must not change between releases.
LOCK_CLASS: Final = 84_115


class Job(IntEnum):
    """One key per kind of work that must not run twice at once."""

    PARTITIONS = 1
    FORGET_CLIENT_ORDER_IDS = 2
    JOURNAL_RETENTION = 3
    AUDIT = 4


@contextmanager
def job_lock(connection: psycopg.Connection, job: Job) -> Iterator[bool]:
    """Hold the job's lock for the block; yields False at once where someone else holds it.

    The lock belongs to the session: it ends with the connection, whatever kills the process.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, int(job))
    ).fetchone()
    assert row is not None
    held: bool = row[0]
    try:
        yield held
    finally:
        if held and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_CLASS, int(job)))
