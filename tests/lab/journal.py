"""A partition's journal applied again by a new engine: the same events, and the checkpoint."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.state.codec import decode_journal
from matching.state.hash import state_hash

_JOURNAL: Final = """
SELECT events FROM orders_enginejournal WHERE partition_id = %s ORDER BY last_seq
"""
_CHECKPOINT: Final = "SELECT last_seq, state_hash FROM orders_enginepartition WHERE id = %s"


def journal_rows(connection: psycopg.Connection[Any], partition_id: int) -> Iterator[Sequenced]:
    """Yield the journal from its first row on; none may be deleted."""
    with connection.transaction(), connection.cursor("whole_journal") as cursor:
        for (events,) in cursor.execute(_JOURNAL, (partition_id,)):
            yield from decode_journal(events)


def event_fault(engine: Engine, row: Sequenced) -> str:
    """Apply a row again; return what is wrong with its events, empty if nothing is."""
    if engine.apply_again(row) == row.events:
        return ""
    return f"command {row.sequence} gives other events when it is applied again"


def checkpoint_fault(connection: psycopg.Connection[Any], partition_id: int, engine: Engine) -> str:
    """Return what is wrong with an engine after the whole journal, empty if nothing is."""
    stands = connection.execute(_CHECKPOINT, (partition_id,)).fetchone()
    if stands == (engine.sequence, state_hash(engine)):
        return ""
    return (
        f"the journal from its beginning leads to {engine.sequence} and not to the checkpoint"
        f" at {stands[0] if stands else None}"
    )


def journal_fault(connection: psycopg.Connection[Any], partition_id: int) -> str:
    """Apply the whole journal of an idle partition again; return the first fault, if any."""
    engine = Engine()
    for row in journal_rows(connection, partition_id):
        if fault := event_fault(engine, row):
            return fault
    return checkpoint_fault(connection, partition_id, engine)
