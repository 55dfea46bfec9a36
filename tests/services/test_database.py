"""exchange.infra.database: the number that a process makes its ids under."""

import os

import pytest

from exchange.infra.database import node_number

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
