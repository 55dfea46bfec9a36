"""This process's intake: one for each process, started by its first caller."""

import os
import threading
import time
from typing import Final

from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from exchange.infra.event_loop import threads_only
from exchange.infra.lookups import here_or_thread
from orders.intake.publish import RedisPublisher
from orders.intake.thread import Intake

_current: tuple[int, Intake] | None = None
_starting: Final = threading.Lock()


def intake() -> Intake:
    """This process's intake; the first caller starts it (again, after a fork).

    Starting reads the process's number from Postgres, which would block an event loop. Raises
    SynchronousOnlyOperation on an event loop until a thread has started the intake.
    """
    global _current
    if _current is None or _current[0] != os.getpid():
        threads_only()
        with _starting:
            if _current is None or _current[0] != os.getpid():
                ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
                _current = (
                    os.getpid(),
                    Intake(
                        open_connection=lambda: connect("intake", keep_plans=True),
                        publisher=RedisPublisher(),
                        next_id=ids.next_id,
                    ),
                )
    return _current[1]


async def intake_started() -> Intake:
    """Return this process's intake; on an event loop a thread starts it."""
    return await here_or_thread(intake)


def intake_stop() -> None:
    """End this process's intake, if it runs: at shutdown and between tests."""
    global _current
    with _starting:
        if _current is not None and _current[0] == os.getpid():
            _current[1].stop()
        _current = None
