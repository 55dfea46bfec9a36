"""Which partitions an engine serves, and how long accepted orders wait for a sequence.

A worker touches its partition's row every second. A process reads the rows at most once in
READ_EVERY_S, however many orders come: an order pays no round trip for the answer. A worker that
restarts costs nobody an order; a partition without any worker would swallow them (docs/adr/0004).
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
# The oldest rows show every partition's age, unless one partition alone has so many.
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
    """Return seconds since an engine served the partition, READ_EVERY_S late; None if never."""
    silences, age_s = silences_copy.reading()
    silence = silences.get(partition_id)
    return None if silence is None else silence + age_s


def silences_read() -> dict[int, float]:
    """Return the seconds since an engine served each partition, from the database."""
    with connection.cursor() as cursor:
        cursor.execute(SILENCES)
        return dict(cursor.fetchall())


silences_copy: Final = Copy(silences_read, age_max_s=READ_EVERY_S)


def served_forget() -> None:
    """Drop the cached answer (after a change in this process, and between tests)."""
    silences_copy.forget()


def is_served(partition_id: int) -> bool:
    """Tell whether an engine serves the partition, or did a moment ago and may be restarting."""
    silence_s = silence_of(partition_id)
    return silence_s is not None and silence_s <= SILENCE_MAX_S


def served_check(rules: SymbolRules) -> None:
    """Raise engine.not_serving where no engine serves the symbol's partition.

    Only requests that reserve funds are checked. Cancels are always taken: they reserve nothing.
    """
    if not is_served(rules.partition_id):
        raise DomainError(
            Code.ENGINE_NOT_SERVING, symbol=rules.units.code, retry_after_s=RETRY_AFTER_S
        )


def symbol_taking(code: str) -> SymbolRules:
    """Return the rules of a symbol that takes new orders now.

    Raises symbol.unknown, symbol.not_listed and engine.not_serving.
    """
    rules = symbol_listed(code)
    served_check(rules)
    return rules


def unsequenced_ages(raw: psycopg.Connection, now_ms: int) -> dict[int, float]:
    """Return by partition the seconds that the oldest unsequenced order or command waits; 0: none.

    Every partition that has symbols or rows is in the answer, whether an engine serves it or not.
    """
    oldest: dict[int, int] = dict(raw.execute(_WAITING, {"most": WAITING_LOOK_MAX}).fetchall())
    partitions = {row[0] for row in raw.execute(_PARTITIONS)} | oldest.keys()
    return {
        partition_id: max(0, now_ms - id_time_ms(oldest[partition_id])) / 1_000
        if partition_id in oldest
        else 0.0
        for partition_id in sorted(partitions)
    }
