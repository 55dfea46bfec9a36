"""Range partitions of the big tables: made ahead of time, checked, detached after their retention.

Bounds are ids: an id begins with its time (exchange.domain.ids), so a month of rows is a range of
ids and the primary key stays one column. There is no default partition: each attach would scan it
under an exclusive lock. Should the ranges ever run out, inserts fail; `check` alarms long before.

New partitions are made beside the parent and attached (SHARE UPDATE EXCLUSIVE: reads and writes go
on), old ones are detached concurrently. Both wait LOCK_TIMEOUT_MS for a lock, ATTEMPTS_MAX times.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import psycopg
from psycopg import sql

from exchange.infra.partition_ranges import TABLES, Partition, Partitioned, floor_id

LOCK_TIMEOUT_MS: Final = 2_000
ATTEMPTS_MAX: Final = 5
RETRY_PAUSE_S: Final = 0.5
AHEAD_ALARM: Final = 2  # fewer whole periods ahead than this are an alarm


def attached(connection: psycopg.Connection, table: str) -> list[Partition]:
    """Return the partitions of a table in order of their ids."""
    rows = connection.execute(
        """
        SELECT name, bounds[1]::bigint, bounds[2]::bigint FROM (
            SELECT child.relname AS name, regexp_match(
                pg_get_expr(child.relpartbound, child.oid),
                $$FROM \\('?(\\d+)'?\\) TO \\('?(\\d+)'?\\)$$) AS bounds
            FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
            WHERE inhparent = %s::regclass AND NOT inhdetachpending
        ) AS partitions ORDER BY 2
        """,
        (table,),
    ).fetchall()
    return [Partition(*row) for row in rows]


def ensure(connection: psycopg.Connection, now: datetime) -> list[str]:
    """Create and attach the partitions missing for now and ahead; return their names.

    The connection is in autocommit mode. Raises psycopg.errors.LockNotAvailable when ATTEMPTS_MAX
    attempts got no lock; the next run tries again, in good time.
    """
    made: list[str] = []
    for partitioned in TABLES:
        existing = {partition.low for partition in attached(connection, partitioned.table)}
        for name, low, high in partitioned.periods(now):
            if high > 0 and low not in existing:
                attempt = partial(attach, connection, partitioned, name, low, high)
                _change_patiently(connection, attempt)
                made.append(name)
    return made


def attach(
    connection: psycopg.Connection, partitioned: Partitioned, name: str, low: int, high: int
) -> None:
    """Create a partition for ids from `low` to below `high`. Raises LockNotAvailable."""
    parts = {
        "child": sql.Identifier(name),
        "parent": sql.Identifier(partitioned.table),
        "check": sql.Identifier(f"{name}_range"),
        "low": sql.Literal(low),
        "high": sql.Literal(high),
        "fillfactor": sql.Literal(partitioned.fillfactor),
    }
    with connection.transaction():
        for statement in (
            "CREATE TABLE {child} (LIKE {parent} INCLUDING ALL) WITH (fillfactor = {fillfactor})",
            # With this check the attach need not scan; the bound replaces the check.
            "ALTER TABLE {child} ADD CONSTRAINT {check} CHECK (id >= {low} AND id < {high})",
            "ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ({low}) TO ({high})",
            "ALTER TABLE {child} DROP CONSTRAINT {check}",
        ):
            connection.execute(sql.SQL(statement).format(**parts))
        if partitioned.append_only and _has_application_role(connection):
            # The schema's default privileges allow more than the parent's.
            revoke = "REVOKE UPDATE, DELETE, TRUNCATE ON {child} FROM takas_app"
            connection.execute(sql.SQL(revoke).format(**parts))


def _has_application_role(connection: psycopg.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'takas_app'").fetchone()
    return found is not None


def _change_patiently(connection: psycopg.Connection, change: Callable[[], object]) -> None:
    """Run a schema change; where a lock is not free soon, leave the lock queue and try again."""
    connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{LOCK_TIMEOUT_MS}ms")))
    try:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                change()
            except psycopg.errors.LockNotAvailable:
                if attempt == ATTEMPTS_MAX:
                    raise
                time.sleep(RETRY_PAUSE_S * attempt)
            else:
                return
    finally:
        connection.execute("RESET lock_timeout")


@dataclass(frozen=True, slots=True)
class Coverage:
    """The ranges of a table: whether one holds now, and how many follow without a gap."""

    table: str
    has_now: bool
    ahead: int

    @property
    def alarms(self) -> bool:
        """Whether too few ranges lie ahead, or none holds now."""
        return not self.has_now or self.ahead < AHEAD_ALARM


def check(connection: psycopg.Connection, now: datetime) -> list[Coverage]:
    """Return each table's coverage; a table that `alarms` needs `ensure` soon, or at once."""
    coverages = []
    for partitioned in TABLES:
        reach = floor_id(partitioned.start_of(now))
        count = 0
        for partition in attached(connection, partitioned.table):
            if partition.low == reach:
                reach = partition.high
                count += 1
        coverages.append(Coverage(partitioned.table, count > 0, max(0, count - 1)))
    return coverages


def retain(
    connection: psycopg.Connection, now: datetime, *, keep_days: dict[str, int], drop: bool = False
) -> list[str]:
    """Detach partitions that ended more than `keep_days[table]` days ago; return their names.

    A table without an entry in `keep_days` keeps everything, and a partition with a live row stays.
    Detached tables stay in the database, to be archived, unless `drop` is set; the ledger's always
    stay.
    """
    unknown = keep_days.keys() - {partitioned.table for partitioned in TABLES}
    assert not unknown, f"not partitioned: {sorted(unknown)}"
    detached: list[str] = []
    for partitioned in TABLES:
        days = keep_days.get(partitioned.table)
        if days is None:
            continue
        assert days > 0
        for partition in attached(connection, partitioned.table):
            if partition.ends() > now - timedelta(days=days):
                break
            if _is_live(connection, partitioned, partition):
                continue
            detach(connection, partitioned.table, partition.name)
            detached.append(partition.name)
            if drop and partitioned.may_drop:
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition.name)))
    return detached


def _is_live(
    connection: psycopg.Connection, partitioned: Partitioned, partition: Partition
) -> bool:
    if not partitioned.live:
        return False
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
        sql.Identifier(partition.name), sql.SQL(partitioned.live)
    )
    found = connection.execute(statement).fetchone()
    assert found is not None
    return bool(found[0])


def detach(connection: psycopg.Connection, table: str, name: str) -> None:
    """Detach one partition while reads and writes go on; it remains as an ordinary table.

    A detach that a killed attempt left half done is finished first.
    """
    pending = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = %s::regclass AND inhdetachpending",
        (table,),
    ).fetchone()
    if pending is not None:
        _detach_statement(connection, table, pending[0].strip('"'), "FINALIZE")
    if pending is None or pending[0].strip('"') != name:
        _detach_statement(connection, table, name, "CONCURRENTLY")


def _detach_statement(connection: psycopg.Connection, table: str, name: str, how: str) -> None:
    statement = sql.SQL("ALTER TABLE {} DETACH PARTITION {} " + how).format(
        sql.Identifier(table), sql.Identifier(name)
    )
    _change_patiently(connection, partial(connection.execute, statement))
