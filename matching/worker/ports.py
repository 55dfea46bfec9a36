"""Ports of the matching worker: stream, rows, feed, clock, and the data that pass them.

Pure zone: `manage.py run_matching` wires these to Postgres and Redis; tests/simulation wires them
to stand-ins that fail on purpose.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from matching.engine.journal import Sequenced
from matching.engine.messages import CancelAfter, Command
from matching.worker.batch_order import Entering, Sweeping

# A worker that restarts is back long before. After so long without a worker the partition takes no
# new orders (orders/recovery/availability.py), and orders that wait raise an alarm.
SILENCE_MAX_S: Final = 60


class StreamDown(Exception):
    """Stream or feed cannot be reached. The worker goes on without them."""


class LeaseLost(Exception):
    """Another worker has taken over the partition; this process must end at once."""


class EngineFailed(Exception):
    """The engine raised on a command, or its commit was refused; this process must end."""

    def __init__(self, command: Command, error: Exception) -> None:
        super().__init__(f"command {command.command_id}")
        self.command = command
        self.error = error


class CommitRefused(Exception):
    """The database refuses a batch and would refuse it again; nothing of the batch is durable."""


class Stream(Protocol):
    """The stream on which commands arrive: a hint where to look, not a record."""

    def read(self, position: str, count: int, wait_ms: int) -> list[tuple[str, bytes]]:
        """Return up to `count` (position, encoded command) after `position`, waiting for the first.

        Raises StreamDown."""

    def start_for(self, position: str) -> str:
        """Return the position to read from: `position`, or the start if the stream ends before it.

        Raises StreamDown."""

    def trim(self, position: str) -> None:
        """Forget entries up to a committed position. Raises StreamDown."""


@dataclass(slots=True)
class Batch:
    """The rows and positions that one transaction makes durable."""

    sequenced: list[Sequenced]
    stream_position: str
    published_seq: int
    time_ms: int


@dataclass(slots=True)
class Committed:
    """A durable batch: the frames that may be published now."""

    last_seq: int
    frames: list[tuple[str, bytes]]
    symbol_ids: Collection[int]  # symbols whose book or last price changed
    trades: int = 0
    needs_settlement: bool = False
    # By symbol, the time in ms at which it needs another batch, though nothing is due in the
    # engine: that batch publishes what is too early for this one.
    look_again: Mapping[int, int] = field(default_factory=dict)


class Unsequenced(Protocol):
    """The accepted commands without a sequence, in Postgres: the truth, unlike the stream."""

    def confirm(self, commands: Sequence[Command]) -> dict[int, Command]:
        """Return by id the commands among these that are accepted and have no sequence yet.

        The returned commands are those of Postgres; of the given commands only the ids count.
        """

    def sweep(self, *, age_ms: int, limit: int) -> list[Command]:
        """Return accepted commands without a sequence, at least this old, by id."""

    def cancel_after_unsequenced(self, symbol_ids: Collection[int]) -> Sequence[CancelAfter]:
        """Return the unsequenced cancel-after settings of these symbols, sorted by id."""

    def needed_before(
        self, order_ids: Collection[int], sweeping: Sequence[Sweeping]
    ) -> Sequence[Entering]:
        """Return the unsequenced commands that must be sequenced before these.

        These are: the orders with these ids, each with its whole list; and for each sweeping
        command the orders of its account that were accepted before it, and older cancel-afters.
        """


class Results(Protocol):
    """The partition's rows in Postgres, all writes guarded by the lease's epoch."""

    def commit(self, batch: Batch) -> Committed:
        """Make a batch durable in one transaction; any error ends the process.

        Raises LeaseLost, and CommitRefused."""

    def renew(self, *, stream_position: str, published_seq: int) -> None:
        """Extend the lease while there is nothing to commit. Raises LeaseLost."""

    def unpublished(self, after_seq: int, limit: int) -> list[Committed]:
        """Return committed batches after a sequence, oldest first."""

    def record_fault(self, command: Command, error: Exception) -> None:
        """Record that a command could not be processed, so that it is refused from now on."""


class Feed(Protocol):
    """The feed that publishes results. `publish` and `snapshot` raise StreamDown."""

    def publish(self, frames: Sequence[tuple[str, bytes]], symbol_ids: Collection[int]) -> None:
        """Send frames, the best prices of these symbols and the heartbeat in one go."""

    def snapshot(self, symbol_ids: Collection[int]) -> None:
        """Store the books, best prices and market states of these symbols."""

    def notify_settlement(self) -> None:
        """Set the settlement flag of this partition, without waiting for anything."""


class Clock(Protocol):
    def now_ms(self) -> int: ...
    def sleep_ms(self, duration_ms: int) -> None: ...
