"""Which partitions have an engine at work, and how long what was accepted for them waits.

A worker touches its partition's row every second. The rows are read at most once in READ_EVERY_S by
a process, whatever the number of orders: an order pays no round trip for the answer. A worker that
restarts costs nobody an order; a partition that nobody serves would swallow them (docs/adr/0004).
"""

from typing import Final

import psycopg
from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.domain.ids import id_time_ms
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.copies import Copy
from exchange.selectors import symbol_listed
from matching.worker.ports import SILENCE_MAX_S
from orders.recovery.lease import SILENCES

READ_EVERY_S: Final = 1.0
RETRY_AFTER_S: Final = 10
# The oldest rows tell every partition's age, unless one partition's alone are so many.
WAITING_LOOK_MAX: Final = 10_000

_WAITING: Final = """
SELECT partition_id, min(id) FROM (
    SELECT symbol.partition_id, placed.id
    FROM (SELECT id, symbol_id FROM orders_order WHERE engine_seq IS NULL
          ORDER BY id LIMIT %(most)s) AS placed
    JOIN exchange_symbol AS symbol ON symbol.id = placed.symbol_id
    UNION ALL
    (SELECT partition_id, id FROM orders_command WHERE engine_seq IS NULL
     ORDER BY id LIMIT %(most)s)
) AS waiting GROUP BY partition_id
"""
_PARTITIONS: Final = """
SELECT id FROM orders_enginepartition UNION SELECT partition_id FROM exchange_symbol
"""


def silence_of(partition_id: int) -> float | None:
    """Seconds since an engine served the partition, READ_EVERY_S late; None: none ever did."""
    silences, age_s = silences_copy.reading()
    silence = silences.get(partition_id)
    return None if silence is None else silence + age_s


def silences_read() -> dict[int, float]:
    """Seconds since an engine served each partition, from the database."""
    with connection.cursor() as cursor:
        cursor.execute(SILENCES)
        return dict(cursor.fetchall())


silences_copy: Final = Copy(silences_read, age_max_s=READ_EVERY_S)


def served_forget() -> None:
    """Read afresh (after a change in this process, and between tests)."""
    silences_copy.forget()


def is_served(partition_id: int) -> bool:
    """Whether an engine is at work, or was a moment ago: one that restarts is back at once."""
    silence_s = silence_of(partition_id)
    return silence_s is not None and silence_s <= SILENCE_MAX_S


def served_check(rules: SymbolRules) -> None:
    """Raise engine.not_serving where what is accepted would wait for an engine that is not there.

    For what reserves funds. Cancels are always taken: they are durable, and reserve nothing.
    """
    if not is_served(rules.partition_id):
        raise DomainError(
            Code.ENGINE_NOT_SERVING, symbol=rules.units.code, retry_after_s=RETRY_AFTER_S
        )


def symbol_taking(code: str) -> SymbolRules:
    """The rules of a symbol that takes new orders now.

    Raises symbol.unknown, symbol.not_listed and engine.not_serving.
    """
    rules = symbol_listed(code)
    served_check(rules)
    return rules


def unsequenced_ages(raw: psycopg.Connection, now_ms: int) -> dict[int, float]:
    """Seconds that the oldest order or command waits for a sequence, by partition; 0: none does.

    Of every partition that has symbols or rows, whether anybody serves it or not.
    """
    oldest: dict[int, int] = dict(raw.execute(_WAITING, {"most": WAITING_LOOK_MAX}).fetchall())
    partitions = {row[0] for row in raw.execute(_PARTITIONS)} | oldest.keys()
    return {
        partition_id: max(0, now_ms - id_time_ms(oldest[partition_id])) / 1_000
        if partition_id in oldest
        else 0.0
        for partition_id in sorted(partitions)
    }
