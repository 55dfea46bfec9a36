"""An intake of a test's own, and connections that open when the test says so."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from exchange.infra.database import connect
from orders.intake.thread import Intake
from tests.factories.market import Market, Outbox
from tests.waiting import HANG_S


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
        publisher=publisher or Outbox(),
        next_id=market.ids.next_id,
        **bounds,
    )
