"""A matching worker that dies at a line of the test's choice."""

from typing import Any

from matching.worker.ports import Batch, Committed
from orders.recording.results import PostgresResults


class Killed(BaseException):
    """The process is gone at this very line. Not an Exception: nothing may handle it."""


class Death:
    """Where the worker dies next; a test arms it, and one death uses it up."""

    POINTS = ("before_commit", "between_statements", "after_commit", "before_publish", "published")

    def __init__(self) -> None:
        self.point = ""

    def strike(self, point: str) -> None:
        if self.point == point:
            self.point = ""
            raise Killed(point)


class MortalResults(PostgresResults):
    """The real results, in a process that may die before, during and after its transaction."""

    death: Death

    def commit(self, batch: Batch) -> Committed:
        self.death.strike("before_commit")
        committed = super().commit(batch)
        self.death.strike("after_commit")
        return committed

    def frames_of(self, *args: Any) -> list[tuple[str, bytes]]:
        self.death.strike("between_statements")
        return super().frames_of(*args)
