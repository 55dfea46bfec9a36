"""Real servers for the tests: Postgres 18 and Redis out of wheels, once per session.

They are started before Django reads its settings. Set DATABASE_URL and REDIS_URL to test against
servers of your own instead.
"""

import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from config.stack.servers import postgres_prepare, redis_prepare, server_start

# A busy machine is not a slow test; a failure prints what reproduces it.
hypothesis_settings.register_profile("takas", deadline=None, print_blob=True)
hypothesis_settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
hypothesis_settings.load_profile("takas")


def pytest_configure(config: pytest.Config) -> None:
    folder = Path(tempfile.mkdtemp(prefix="takas-tests-"))
    folder.chmod(0o711)  # Postgres may run as another user than ours and has to pass through
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    for variable, prepare in (("DATABASE_URL", postgres_prepare), ("REDIS_URL", redis_prepare)):
        if not os.environ.get(variable):
            server = prepare(folder, durable=False)
            running = server_start(server, folder / f"{server.name}.log")
            config.add_cleanup(running.stop)
            os.environ[variable] = server.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    django.setup()


# What migrations insert: a transactional test's flush empties these tables as well.
BASE_ROWS = """
INSERT INTO wallets_account (kind, created_at)
VALUES ('house', now()), ('external', now()) ON CONFLICT DO NOTHING;
INSERT INTO orders_enginepartition (id, epoch, owner, last_seq, published_seq, stream_position,
    state_hash, feed_sequences, updated_at)
VALUES (1, 0, '', 0, 0, '0-0', '', '{}', now()) ON CONFLICT DO NOTHING;
INSERT INTO orders_settlementcursor (partition_id, last_seq, updated_at)
VALUES (1, 0, now()) ON CONFLICT DO NOTHING;
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The test database, with the partitions that the tests' ids fall into."""
    with django_db_blocker.unblock():
        call_command("partitions", "--ensure")


@pytest.fixture(autouse=True)
def base_rows(request: pytest.FixtureRequest) -> None:
    """Put back the rows that migrations insert, for every test that uses the database."""
    if request.node.get_closest_marker("django_db") is None:
        return
    transactional = request.node.get_closest_marker("django_db").kwargs.get("transaction", False)
    request.getfixturevalue("transactional_db" if transactional else "db")
    with connection.cursor() as cursor:
        cursor.execute(BASE_ROWS)
