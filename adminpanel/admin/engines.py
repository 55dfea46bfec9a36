"""Engines of the partitions, in words for staff, with alarms for partitions without an engine."""

from collections.abc import Iterable
from typing import Final

from django.db import connection

from matching.worker.ports import SILENCE_MAX_S
from orders.recovery.lease import SILENCES

START_IT: Final = "start `manage.py run_matching --partition {id}`"


def silences_read() -> dict[int, float]:
    """Return the seconds since each partition was last served; read anew each time."""
    with connection.cursor() as cursor:
        cursor.execute(SILENCES)
        return dict(cursor.fetchall())


def serves(silences: dict[int, float], partition_id: int) -> bool:
    """Return whether an engine serves the partition, by the rule that order intake uses."""
    return partition_id in silences and silences[partition_id] <= SILENCE_MAX_S


def words_of(silences: dict[int, float], partition_id: int) -> str:
    """Return whether an engine serves the partition, in words."""
    if partition_id not in silences:
        return "NOT SERVED: no engine was ever started for it"
    if not serves(silences, partition_id):
        return f"NOT SERVED: no engine for {silences[partition_id]:.0f} s"
    return "at work"


def alarm_of(partition_id: int, codes: Iterable[str], silences: dict[int, float]) -> str:
    """Return the alarm for symbols on a partition that no engine serves."""
    start = START_IT.format(id=partition_id)
    return (
        f"Partition {partition_id} is {words_of(silences, partition_id)}. New orders in"
        f" {', '.join(sorted(codes))} are refused, cancels wait: {start}."
    )


def alarms(symbols: Iterable[tuple[str, int]], silences: dict[int, float]) -> list[str]:
    """Return an alarm for each partition without an engine; `symbols` are (code, partition)."""
    unserved: dict[int, list[str]] = {}
    for code, partition_id in symbols:
        if not serves(silences, partition_id):
            unserved.setdefault(partition_id, []).append(code)
    return [alarm_of(number, codes, silences) for number, codes in sorted(unserved.items())]
