"""Raw psycopg connections for the hot paths, and this process's node number.

The ORM serves everything else. A hot-path connection is autocommit: its owner writes BEGIN and
COMMIT where they belong.
"""

import os
from functools import cache
from typing import Final

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

# The hot statements join a handful of ids to big tables. Without fresh statistics the planner may
# choose a sequential scan or a hash of the whole table; with these it stays on the primary keys.
# Nor may a plan outlive the size it was made for: one made for the empty table of a new month
# would read the whole of it per batch when it has grown (measured: half a core).
INDEX_ONLY_PLANS = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c plan_cache_mode=force_custom_plan"
)
CONNECT_TIMEOUT_S = 5
# What the driver, Django and the pool raise when Postgres is not there (any more).
DATABASE_AWAY: Final = (OperationalError, InterfaceError, psycopg.OperationalError, PoolTimeout)


def connect(application: str, *, index_plans: bool = True) -> psycopg.Connection:
    """Open an autocommit connection with the settings of the default database.

    Raises psycopg.OperationalError when Postgres cannot be reached.
    """
    from django.db import connections

    default = connections["default"]
    params = default.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
        params.pop(name, None)
    options = params.pop("options", "")
    if index_plans:
        options = f"{options} {INDEX_ONLY_PLANS}".strip()
    params.update(
        application_name=f"takas-{application}",
        connect_timeout=CONNECT_TIMEOUT_S,
        options=f"{options} -c timezone=UTC -c statement_timeout={settings.STATEMENT_TIMEOUT_MS}",
    )
    return psycopg.connect(autocommit=True, **params)


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
