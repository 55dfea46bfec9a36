"""Readiness check: the engines that this process's orders go to are at work."""

import json
import time
from typing import Final, cast

from django.db import connection

from exchange.infra.redis import matching_key, redis_client
from exchange.selectors import catalogue

ENGINE_SILENCE_MAX_MS: Final = 5_000
FAULTS_SHOWN_MAX: Final = 20
PARTITION_FIRST: Final = 1  # created with the database, before any symbol


def engines_check() -> str | None:
    """Return the partitions with symbols but without a recent heartbeat, as text; None if none."""
    try:
        rules = catalogue().symbols_by_id.values()
    finally:
        connection.close()  # each probe runs in a new thread
    partitions = sorted({symbol.partition_id for symbol in rules}) or [PARTITION_FIRST]
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
