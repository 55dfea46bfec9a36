"""An intake of a test's own, and connections that open when the test says so."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from exchange.domain.enums import Side
from exchange.infra.database import connect
from orders.intake.jobs import Job
from orders.intake.thread import Intake
from tests.factories.market import Market, MemoryPublisher
from tests.waiting import HANG_S, wait_until


def connection_open() -> psycopg.Connection[Any]:
    return connect("test-intake")


def connection_after(may_open: threading.Event) -> Callable[[], psycopg.Connection[Any]]:
    """What opens a connection once the event is set: until then intake's first batch waits."""

    def open_connection() -> psycopg.Connection[Any]:
        assert may_open.wait(HANG_S)
        return connection_open()

    return open_connection


def intake_start(
    market: Market,
    *,
    open_connection: Callable[[], psycopg.Connection[Any]] = connection_open,
    publisher: Any = None,
    **bounds: int,
) -> Intake:
    return Intake(
        open_connection=open_connection,
        publisher=publisher or MemoryPublisher(),
        next_id=market.ids.next_id,
        **bounds,
    )


def intake_with_one_batch(market: Market, *jobs: Job) -> Intake:
    """An intake that commits these jobs together, after one job that only holds it up."""
    may_open = threading.Event()
    intake = intake_start(market, open_connection=connection_after(may_open))
    first = market.place_job(0, Side.SELL, 1, 100_000)
    intake.put(first)
    wait_until(lambda: not intake.waiting, "the first job is taken alone")
    for job in jobs:
        intake.put(job)
    may_open.set()
    assert first.wait(HANG_S)
    return intake
