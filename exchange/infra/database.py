"""Raw psycopg connections for the hot paths; the node number and the ids of this process.

The ORM serves everything else. A hot-path connection is autocommit: its owner writes BEGIN and
COMMIT where they belong.
"""

import os
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from exchange.domain.ids import IdGenerator

# The hot statements join a handful of ids to big tables. Without fresh statistics the planner may
# choose a sequential scan or a hash of the whole table; these options keep it on primary keys.
INDEX_ONLY_PLANS = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
# A plan may not outlive the size of its table: a plan for the empty table of a new month would read
# the whole grown table for each batch (measured: half a core).
PLANS_MADE_ANEW = "-c plan_cache_mode=force_custom_plan"
# But planning a statement takes longer than running it for one order. A connection whose statements
# have only one possible plan, whatever the tables hold, keeps their plans (docs/adr/0024).
PLANS_KEPT = "-c plan_cache_mode=force_generic_plan"
# Executions before the driver prepares a statement unasked: a number that is never reached.
PREPARE_ASKED_ONLY: Final = 1 << 62
CONNECT_TIMEOUT_S = 5
# Errors that the driver, Django and the pool raise while Postgres is away.
DATABASE_AWAY: Final = (OperationalError, InterfaceError, psycopg.OperationalError, PoolTimeout)


def connect(
    application: str, *, index_plans: bool = True, keep_plans: bool = False
) -> psycopg.Connection:
    """Open an autocommit connection with the settings of the default database, keepalives included.

    With `keep_plans` a statement is planned once if its caller asks to prepare it; other statements
    are never prepared. Raises psycopg.OperationalError when Postgres cannot be
    reached.
    """
    from django.db import connections

    default = connections["default"]
    params = default.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
        params.pop(name, None)
    options = params.pop("options", "")
    if index_plans:
        plans = PLANS_KEPT if keep_plans else PLANS_MADE_ANEW
        options = f"{options} {INDEX_ONLY_PLANS} {plans}".strip()
    if keep_plans:
        params["prepare_threshold"] = PREPARE_ASKED_ONLY
    params.update(
        application_name=f"takas-{application}",
        connect_timeout=CONNECT_TIMEOUT_S,
        options=f"{options} -c timezone=UTC -c statement_timeout={settings.STATEMENT_TIMEOUT_MS}",
    )
    return psycopg.connect(autocommit=True, **params)


def plans_keep(connection: psycopg.Connection) -> None:
    """Keep from here on the plans of the statements that ask to be prepared, as `keep_plans` does.

    For a connection that began with other work, whose plans had to fit its parameters.
    """
    connection.prepare_threshold = PREPARE_ASKED_ONLY
    connection.execute("SET plan_cache_mode = force_generic_plan")


def rows_as_dicts(connection: psycopg.Connection) -> "psycopg.Cursor[dict[str, Any]]":
    """Return a cursor whose rows are dicts by column name."""
    return connection.cursor(row_factory=dict_row)


def array_text(values: Iterable[int | str | None]) -> str:
    """Return numbers as the text of a Postgres array; the statement casts it.

    Several times faster than the driver's adaptation of long lists. For numbers only, because
    nothing is quoted. Postgres reads `123e-8` as an exact number.
    """
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"


def node_number() -> int:
    """Return the node number of this process for its ids, 0..1023, from a cycling sequence.

    It is unique among the 1,024 processes started last; primary keys refuse what collides beyond.
    """
    return _node_number(os.getpid())


@cache
def _node_number(_pid: int) -> int:
    """Return the number kept for a process: a forked process must not use its parent's."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('takas_node')")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


_generators: Final[dict[int, IdGenerator]] = {}


def process_ids() -> IdGenerator:
    """Return this process's generator of ids for journals, entries and commands of tasks.

    Hot paths have generators of their own.
    """
    pid = os.getpid()  # a forked worker must not use its parent's
    generator = _generators.get(pid)
    if generator is None:
        generator = _generators[pid] = IdGenerator(
            node_number(), lambda: time.time_ns() // 1_000_000
        )
    return generator
