"""Connections to Postgres, and the number that a process makes its ids under."""

import os

import psycopg
import pytest
from django.db import connection

from config.settings.parts import database as settings_of
from exchange.infra.database import connect, node_number

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_forked_process_makes_ids_under_a_number_of_its_own() -> None:
    """Celery forks its children after the parent may have asked for its number."""
    mine = node_number()
    assert node_number() == mine
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest, no clean-up: it tells its number and is gone
        try:
            from django.db import connection

            connection.connection = None  # the parent's socket; a forked Celery child does the same
            os.write(writable, str(node_number()).encode())
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    theirs = int(os.read(readable, 16))
    os.close(readable)
    assert theirs != mine


def keepalives(of: psycopg.Connection) -> dict[str, str]:
    """What libpq was told of them: it takes no notice of them on the tests' Unix socket."""
    given = of.info.get_parameters()
    return {name: given[name] for name in given if name.startswith(("keepalives", "tcp_user"))}


def test_no_connection_waits_for_a_black_hole() -> None:
    asked = {
        "keepalives": "1",
        "keepalives_idle": str(settings_of.KEEPALIVE_IDLE_SECONDS),
        "keepalives_interval": str(settings_of.KEEPALIVE_INTERVAL_SECONDS),
        "keepalives_count": str(settings_of.KEEPALIVE_PROBES),
        "tcp_user_timeout": str(settings_of.UNCONFIRMED_MS),
    }
    connection.ensure_connection()
    assert keepalives(connection.connection) == asked
    for keep_plans in (False, True):
        with connect("test", keep_plans=keep_plans) as raw:
            assert keepalives(raw) == asked
