"""What the matching worker asks of its surroundings, and what it hands to them.

Pure zone: `manage.py run_matching` wires these to Postgres and Redis; tests/simulation wires them
to stand-ins that fail on purpose.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from matching.engine.journal import Sequenced
from matching.engine.messages import CancelAfter, Command
from matching.worker.batch_order import Entering, Sweeping

# A worker that restarts is back long before. After so long without one, nobody serves the
# partition: nothing new is taken for it (orders/recovery/availability.py), and what waits is an
# alarm.
SILENCE_MAX_S: Final = 60


class StreamDown(Exception):
    """The transport cannot be reached. The worker goes on without it."""


class LeaseLost(Exception):
    """Another worker has taken the partition over: this one must end at once."""


class EngineFailed(Exception):
    """The engine raised on a command, or its results are refused: this process must end."""

    def __init__(self, command: Command, error: Exception) -> None:
        super().__init__(f"command {command.command_id}")
        self.command = command
        self.error = error


class CommitRefused(Exception):
    """Rows or constraints refuse a batch, and would every time: nothing of it is durable."""


class Stream(Protocol):
    """Where commands arrive. Never believed: it is a hint, not a record."""

    def read(self, position: str, count: int, wait_ms: int) -> list[tuple[str, bytes]]:
        """Return up to `count` (position, encoded command) after `position`, waiting for the first.

        Raises StreamDown."""

    def start_for(self, position: str) -> str:
        """Return where to read on: `position`, or the start when the stream is behind it."""

    def trim(self, position: str) -> None:
        """Forget entries up to a committed position. Raises StreamDown."""


@dataclass(slots=True)
class Batch:
    """What one transaction makes durable."""

    sequenced: list[Sequenced]
    stream_position: str
    published_seq: int
    time_ms: int


@dataclass(slots=True)
class Committed:
    """A durable batch: what may be told to the world now, and nothing else."""

    last_seq: int
    frames: list[tuple[str, bytes]]
    symbol_ids: Collection[int]  # whose book or last price changed
    trades: int = 0
    needs_settlement: bool = False
    # When a symbol is to have another batch, though nothing is due in the engine: then there is
    # something to be told that this batch was too early for.
    look_again: Mapping[int, int] = field(default_factory=dict)


class Unsequenced(Protocol):
    """What Postgres knows of accepted commands. This is believed, the stream is not."""

    def confirm(self, commands: Sequence[Command]) -> dict[int, Command]:
        """Return, by id, those commands that are accepted and have no sequence yet.

        As Postgres has them: of what arrived, only the ids count.
        """

    def sweep(self, *, age_ms: int, limit: int) -> list[Command]:
        """Return accepted commands without a sequence, at least this old, by id."""

    def cancel_after_unsequenced(self, symbol_ids: Collection[int]) -> Sequence[CancelAfter]:
        """Return the settings of these symbols' cancel-afters without a sequence, by id."""

    def needed_before(
        self, order_ids: Collection[int], sweeping: Sequence[Sweeping]
    ) -> Sequence[Entering]:
        """Return what has no sequence yet and must get one first.

        That is: the named orders, each with its whole list; and of each command that is about an
        account's orders those accepted before it, and its own forerunners.
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
        """Put on record that a command could not be processed: from now on it is refused."""


class Feed(Protocol):
    """Where results are told. Raises StreamDown where it cannot be reached."""

    def publish(self, frames: Sequence[tuple[str, bytes]], symbol_ids: Collection[int]) -> None:
        """Send frames, the best prices of these symbols and the heartbeat in one go."""

    def snapshot(self, symbol_ids: Collection[int]) -> None:
        """Store the books of these symbols."""

    def notify_settlement(self) -> None:
        """Notify the settlement of this partition; must not wait for anything."""


class Clock(Protocol):
    def now_ms(self) -> int: ...
    def sleep_ms(self, duration_ms: int) -> None: ...
