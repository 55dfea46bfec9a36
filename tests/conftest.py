"""Real servers for the tests: Postgres 18 once for all, Redis for each process; both out of wheels.

They are started before Django reads its settings. Set DATABASE_URL and REDIS_URL to test against
servers of your own instead (with `-n 0`, as a superuser of Postgres). tests/README.md says how the
processes share the work.
"""

import os
import resource
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import django
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from config.stack.servers import Server, postgres_prepare, redis_prepare
from tests.emptying import tables_empty
from tests.factories.servers import server_start

pytest_plugins = ["tests.fixtures"]

PROCESSES_MIN: Final = 2
PROCESSES_MAX: Final = 4  # more would want more connections than the one Postgres has
# Long tests begin first, so that no processor is left with one at the end.
LONG_FIRST: Final = ("crash", "e2e", "simulation", "property", "concurrency")
# Tests that share one stack, by their fixture, are in files of this name and stay together.
SHARED_STACK: Final = "stack_url"
SHARED_STACK_FILES: Final = "_page.py"

# A busy machine is not a slow test; a failure prints what reproduces it.
hypothesis_settings.register_profile("takas", deadline=None, print_blob=True)
hypothesis_settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
hypothesis_settings.load_profile("takas")


def pytest_configure(config: pytest.Config) -> None:
    """Start what this process needs: it runs tests, or shares them out, or both at once."""
    is_worker = hasattr(config, "workerinput")
    shares_out = not is_worker and bool(config.getoption("tx", None))
    if shares_out and os.environ.get("REDIS_URL"):
        raise pytest.UsageError("Channels of one Redis are heard by all: with REDIS_URL use -n 0")
    if not is_worker:
        config.add_cleanup(lambda: _tell_processor_time(config))  # the first one is run last
    if not is_worker and not os.environ.get("DATABASE_URL"):
        folder = _folder(config)
        os.environ["DATABASE_URL"] = _serve(config, postgres_prepare(folder, durable=False), folder)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
            server.execute("CREATE ROLE takas_app NOLOGIN")  # the databases are migrated at once
    if shares_out:
        # All must collect the same tests: ids made of sets come in one order then.
        os.environ.setdefault("PYTHONHASHSEED", str(secrets.randbelow(2**32)))
        return  # Django's settings would want a Redis here, and no test runs here
    if is_worker or not os.environ.get("REDIS_URL"):
        folder = _folder(config)
        os.environ["REDIS_URL"] = _serve(config, redis_prepare(folder, durable=False), folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    django.setup()
    TransactionTestCase._fixture_teardown = lambda _: tables_empty()  # type: ignore[attr-defined]


def pytest_report_header() -> str:
    return f"PYTHONHASHSEED: {os.environ.get('PYTHONHASHSEED', 'random')}"


def _tell_processor_time(config: pytest.Config) -> None:
    """What all processes used, servers and stacks included: comparable on a busy machine."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    config.get_terminal_writer().line(f"processor time of all processes: {seconds:.0f} s")


def _folder(config: pytest.Config) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="takas-tests-"))
    folder.chmod(0o711)  # Postgres may run as another user than ours and has to pass through
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


def _serve(config: pytest.Config, server: Server, folder: Path) -> str:
    running = server_start(server, folder / f"{server.name}.log")
    config.add_cleanup(running.stop)
    return server.url


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` means."""
    return min(max(len(os.sched_getaffinity(0)), PROCESSES_MIN), PROCESSES_MAX)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share tests out one by one; those of whole stacks by file: a file starts its stack once."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):  # type: ignore[misc] # it has no types
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if not path.startswith("tests/e2e/"):
                return nodeid
            return SHARED_STACK_FILES if path.endswith(SHARED_STACK_FILES) else path

    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        is_sharing = SHARED_STACK in getattr(item, "fixturenames", ())
        if is_sharing and not item.path.name.endswith(SHARED_STACK_FILES):
            raise pytest.UsageError(f"{item.path}: name it *{SHARED_STACK_FILES}, see conftest.py")
    if not hasattr(config, "workerinput"):
        return
    rank = {folder: place for place, folder in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(LONG_FIRST)))


# What migrations insert: the end of a transactional test empties these tables as well.
BASE_ROWS = """
INSERT INTO wallets_account (kind, created_at)
VALUES ('house', now()), ('external', now()), ('funding', now()) ON CONFLICT DO NOTHING;
INSERT INTO orders_enginepartition (id, epoch, owner, last_seq, published_seq, stream_position,
    state_hash, feed_sequences, updated_at)
VALUES (1, 0, '', 0, 0, '0-0', '', '{}', now()) ON CONFLICT (id) DO UPDATE SET updated_at = now();
INSERT INTO orders_settlementcursor (partition_id, last_seq, updated_at)
VALUES (1, 0, now()) ON CONFLICT DO NOTHING;
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The test database, with the partitions that the tests' ids fall into."""
    with django_db_blocker.unblock():
        call_command("partitions", "--ensure")


@pytest.fixture(autouse=True)
def fresh_networks() -> None:
    """No test has less left of its network's requests for those before it."""
    from exchange.api.admission import networks_forget
    from exchange.infra.redis import Pause
    from exchange.infra.told import told_forget
    from exchange.selectors import renewals_forget

    networks_forget()
    renewals_forget()
    told_forget()
    Pause().end()


@pytest.fixture(autouse=True)
def base_rows(request: pytest.FixtureRequest) -> None:
    """Put back the rows that migrations insert, for every test that uses the database."""
    marker = request.node.get_closest_marker("django_db")
    asked = {"db", "transactional_db"} & set(request.fixturenames)
    if marker is None and not asked:
        return
    marked = marker is not None and marker.kwargs.get("transaction", False)
    is_transactional = marked or "transactional_db" in asked
    request.getfixturevalue("transactional_db" if is_transactional else "db")
    with connection.cursor() as cursor:
        cursor.execute(BASE_ROWS)
