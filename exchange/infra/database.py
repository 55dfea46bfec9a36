"""Raw psycopg connections for the hot paths; this process's node number, and ids made with it.

The ORM serves everything else. A hot-path connection is autocommit: its owner writes BEGIN and
COMMIT where they belong.
"""

import os
import time
from functools import cache
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from exchange.domain.ids import IdGenerator

# The hot statements join a handful of ids to big tables. Without fresh statistics the planner may
# choose a sequential scan or a hash of the whole table; with these it stays on the primary keys.
INDEX_ONLY_PLANS = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
# Nor may a plan outlive the size it was made for: one made for the empty table of a new month
# would read the whole of it per batch when it has grown (measured: half a core).
PLANS_MADE_ANEW = "-c plan_cache_mode=force_custom_plan"
# But to plan a statement takes longer than to run it for one order. A connection whose statements
# can be planned in one way only, whatever the tables hold, keeps their plans (docs/adr/0024).
PLANS_KEPT = "-c plan_cache_mode=force_generic_plan"
# Executions before the driver prepares a statement that nobody asked it to prepare: never reached.
PREPARE_ASKED_ONLY: Final = 1 << 62
CONNECT_TIMEOUT_S = 5
# What the driver, Django and the pool raise when Postgres is not there (any more).
DATABASE_AWAY: Final = (OperationalError, InterfaceError, psycopg.OperationalError, PoolTimeout)


def connect(
    application: str, *, index_plans: bool = True, keep_plans: bool = False
) -> psycopg.Connection:
    """Open an autocommit connection with the settings of the default database, keepalives included.

    With `keep_plans` a statement is planned once, if its caller asks to prepare it; the others are
    not prepared, however often they run. Raises psycopg.OperationalError when Postgres cannot be
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


def rows_as_dicts(connection: psycopg.Connection) -> "psycopg.Cursor[dict[str, Any]]":
    """A cursor whose rows are read by column name."""
    return connection.cursor(row_factory=dict_row)


def node_number() -> int:
    """A number 0..1023 for the ids made by this process: the next of a cycling sequence.

    Unique among the 1,024 most recently started processes; the primary keys refuse the rest.
    """
    return _node_number(os.getpid())


@cache
def _node_number(_pid: int) -> int:
    """Kept per process: one that was forked must not make ids with its parent's number."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('takas_node')")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


_generators: Final[dict[int, IdGenerator]] = {}


def process_ids() -> IdGenerator:
    """This process's generator of ids for journals, entries and commands of tasks.

    Hot paths have generators of their own.
    """
    pid = os.getpid()  # a forked worker must not go on with its parent's
    generator = _generators.get(pid)
    if generator is None:
        generator = _generators[pid] = IdGenerator(
            node_number(), lambda: time.time_ns() // 1_000_000
        )
    return generator
