"""Waiting for what another process, thread or machine does: the tests' one guard against hanging.

`HANG_S` promises nothing about speed: it is what no machine needs, however slow and however busy.
A test that passes never waits for it.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

HANG_S: Final = 240.0
# For processes to start: a stack waits for its roles as long as they move, and says itself why not.
START_S: Final = 1_200.0
POLL_S: Final = 0.02

Found = TypeVar("Found")


def deadline_in(seconds: float = HANG_S) -> float:
    """The moment in so many seconds, by the clock that deadlines of jobs and loops go by."""
    return time.monotonic() + seconds


def wait_until(
    look: Callable[[], Found | None],
    what: str | Callable[[], str] = "it",
    *,
    seconds: float = HANG_S,
    pause: float = POLL_S,
) -> Found:
    """Return what `look` finds, once that is true; fail with what never was so."""
    give_up_at = deadline_in(seconds)
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"never: {what if isinstance(what, str) else what()}")
        time.sleep(pause)
    return found
