"""Which partitions an engine serves, in words for staff: what nobody serves must be seen."""

from collections.abc import Iterable
from typing import Final

from django.db import connection

from matching.worker.ports import SILENCE_MAX_S
from orders.recovery.lease import SILENCES

START_IT: Final = "start `manage.py run_matching --partition {id}`"


def silences_read() -> dict[int, float]:
    """Seconds since each partition was served; not kept: staff look at what is so now."""
    with connection.cursor() as cursor:
        cursor.execute(SILENCES)
        return dict(cursor.fetchall())


def serves(silences: dict[int, float], partition_id: int) -> bool:
    """Whether an engine is at work there, by the rule that orders are taken by."""
    return partition_id in silences and silences[partition_id] <= SILENCE_MAX_S


def words_of(silences: dict[int, float], partition_id: int) -> str:
    """How it stands with a partition."""
    if partition_id not in silences:
        return "NOT SERVED: no engine was ever started for it"
    if not serves(silences, partition_id):
        return f"NOT SERVED: no engine for {silences[partition_id]:.0f} s"
    return "at work"


def alarm_of(partition_id: int, codes: Iterable[str], silences: dict[int, float]) -> str:
    """What staff are told, loudly, of symbols on a partition that nobody serves."""
    start = START_IT.format(id=partition_id)
    return (
        f"Partition {partition_id} is {words_of(silences, partition_id)}. New orders in"
        f" {', '.join(sorted(codes))} are refused, cancels wait: {start}."
    )


def alarms(symbols: Iterable[tuple[str, int]], silences: dict[int, float]) -> list[str]:
    """An alarm for each partition that has symbols (code, partition) and no engine."""
    unserved: dict[int, list[str]] = {}
    for code, partition_id in symbols:
        if not serves(silences, partition_id):
            unserved.setdefault(partition_id, []).append(code)
    return [alarm_of(one, codes, silences) for one, codes in sorted(unserved.items())]
