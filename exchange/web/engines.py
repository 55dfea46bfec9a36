"""Whether the engines that this process's orders go to are at work."""

import json
import time
from typing import Final, cast

from django.db import connection

from exchange.infra.redis import matching_key, redis_client
from exchange.selectors import catalogue

ENGINE_SILENCE_MAX_MS: Final = 5_000
FAULTS_SHOWN_MAX: Final = 20
PARTITION_FIRST: Final = 1  # made with the database: an installation without symbols has it


def engines_check() -> str | None:
    """Did the matching worker of each partition that has symbols beat its heart lately?"""
    try:
        rules = catalogue().symbols_by_id.values()
    finally:
        connection.close()  # a probe has a thread of its own each time
    partitions = sorted({one.partition_id for one in rules}) or [PARTITION_FIRST]
    beats = cast(list[bytes | None], redis_client().mget([matching_key(one) for one in partitions]))
    faults = [
        f"partition {partition_id}: {fault}"
        for partition_id, beat in zip(partitions, beats, strict=True)
        if (fault := _silence(beat)) is not None
    ]
    return "; ".join(faults[:FAULTS_SHOWN_MAX]) or None


def _silence(beat: bytes | None) -> str | None:
    if beat is None:
        return "no heartbeat"
    silence_ms = time.time_ns() // 1_000_000 - int(json.loads(beat)["time_ms"])
    return f"silent for {silence_ms} ms" if silence_ms > ENGINE_SILENCE_MAX_MS else None
