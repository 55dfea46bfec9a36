"""The log of a task that fails: one line where Postgres was away, else its traceback."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from celery import Task, signals
from django.db import OperationalError

from config.celery import app

TRACE = "celery.app.trace"


@pytest.fixture(autouse=True)
def celery_log() -> Iterator[None]:
    """Celery's log as in its processes; nothing of it stays for other tests."""
    log = logging.getLogger(TRACE)
    before = list(log.filters)
    signals.setup_logging.send(sender=None)
    yield
    log.filters[:] = before


def line_of(error: Exception, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The record of a task that raised this."""

    @app.task(name=f"tests.fails_{type(error).__module__}_{type(error).__name__}")
    def fails() -> None:
        raise error

    task: Task = fails
    task.apply()
    (record,) = (record for record in caplog.records if record.name == TRACE)
    return record


@pytest.mark.parametrize("away", [psycopg.OperationalError("gone"), OperationalError("gone")])
def test_a_task_while_postgres_is_away_is_one_line(
    away: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    record = line_of(away, caplog)
    assert record.levelname == "ERROR"
    assert "gone" in record.getMessage()
    assert record.exc_info is None
    assert not hasattr(record, "data"), "every extra word of a record is written, and this has all"


def test_a_fault_of_a_task_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    record = line_of(KeyError("a bug"), caplog)
    assert record.exc_info
    assert hasattr(record, "data")
