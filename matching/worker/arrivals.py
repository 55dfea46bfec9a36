"""Arrivals: the accepted commands that have no sequence yet, from the stream or from the sweep.

Postgres is the truth. The stream is only a hint: its entries may come twice, late, out of order or
never, and a sweep of unsequenced rows finds the commands that the stream lost. While the stream is
down the sweep alone brings commands.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from matching.engine.core import Engine
from matching.engine.messages import Amend, Cancel, CancelAfter, CancelAll, Command
from matching.state.codec import decode_command
from matching.state.hash import open_order
from matching.worker.batch_order import Entering, Sweeping, is_order, keys_of
from matching.worker.ports import Clock, Stream, StreamDown, Unsequenced
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX

# Under load the worker waits a moment for more commands, so that a batch is worth its commit.
LINGER_MS: Final = 3
LINGER_FROM_COMMANDS: Final = 4
LINGER_TO_COMMANDS: Final = 64
IDLE_WAIT_MS_MAX: Final = 250
# A command whose stream entry was lost is found by the sweep at most this much after its commit.
SWEEP_EVERY_MS: Final = 250
SWEEP_AGE_MS: Final = 100  # younger rows are most likely still on their way
SWEEP_LATE_MS: Final = 2_000  # a stream that never runs dry delays a sweep by no more
DEGRADED_POLL_MS: Final = 20
STREAM_RETRY_MS: Final = 500
# A hanging server costs its timeout at each try: retries may take a tenth of the time.
STREAM_RETRY_COST: Final = 10


@dataclass(slots=True)
class Counts:
    """Counts since the last reset; the management command turns them into metrics."""

    duplicates: int = 0  # stream entries that are not, or no longer, unsequenced in Postgres
    garbage: int = 0  # stream entries that cannot be decoded
    swept: int = 0  # commands whose stream entry was lost or late
    stream_failures: int = 0
    feed_failures: int = 0

    def reset(self) -> None:
        self.duplicates = self.garbage = self.swept = 0
        self.stream_failures = self.feed_failures = 0


@dataclass(slots=True)
class Arrivals:
    """Where commands come from. `position` is the place in the stream of the last entry read."""

    engine: Engine  # to look up which orders are open
    stream: Stream
    unsequenced: Unsequenced
    clock: Clock
    position: str
    counts: Counts = field(default_factory=Counts)
    retry_at: int = 0  # the stream is down until then
    _sweep_at: int = 0
    _drained: bool = True

    def is_degraded(self) -> bool:
        """Return whether the stream is down, so that Postgres is polled instead."""
        return self.clock.now_ms() < self.retry_at

    def stream_failed(self, tried_at_ms: int) -> None:
        """Leave the stream alone for a while after a try that began at `tried_at_ms`."""
        now_ms = self.clock.now_ms()
        pause_ms = max(STREAM_RETRY_MS, STREAM_RETRY_COST * (now_ms - tried_at_ms))
        self.retry_at = now_ms + pause_ms

    def read(self, *, due_ms: int, own_due_ms: int | None, last_batch: int) -> list[Command]:
        """Return the commands of the stream's next entries, waiting for the first.

        The wait ends when work other than commands is due (`due_ms`), or a command of the worker's
        own (`own_due_ms`). While the stream is down this sleeps and returns nothing.
        """
        now_ms = self.clock.now_ms()
        if now_ms < self.retry_at:
            self.clock.sleep_ms(_until(self.retry_at, own_due_ms, now_ms, at_most=DEGRADED_POLL_MS))
            return []
        if LINGER_FROM_COMMANDS <= last_batch < LINGER_TO_COMMANDS:
            self.clock.sleep_ms(LINGER_MS)
        due_ms = min(due_ms, self._sweep_at)
        wait_ms = _until(due_ms, own_due_ms, now_ms, at_most=IDLE_WAIT_MS_MAX)
        try:
            entries = self.stream.read(self.position, COMMANDS_PER_BATCH_MAX, wait_ms)
        except StreamDown:
            self.counts.stream_failures += 1
            self.stream_failed(now_ms)
            return []
        if self.retry_at:  # the stream is back, perhaps empty and counting from the start
            self.retry_at = 0
            self._find_stream_start()
        self._drained = len(entries) < COMMANDS_PER_BATCH_MAX
        if entries:
            self.position = entries[-1][0]
        return self._decoded(entries)

    def _decoded(self, entries: Iterable[tuple[str, bytes]]) -> list[Command]:
        commands = []
        for _position, encoded in entries:
            try:
                commands.append(decode_command(encoded))
            except ValueError:
                self.counts.garbage += 1  # the sweep finds the row that the entry announced
        return commands

    def confirmed(self, commands: Iterable[Command]) -> list[Command]:
        """Return of these commands what Postgres has, without a sequence; each command once."""
        new = list({command.command_id: command for command in commands}.values())
        if not new:
            return []
        wanted = self.unsequenced.confirm(new)
        self.counts.duplicates += len(new) - len(wanted)
        keys = (command.command_id for command in new)
        return [wanted[key] for key in keys if key in wanted]

    def swept(self, limit: int) -> list[Command]:
        """Return accepted commands that the stream did not bring in time, if a sweep is due."""
        now_ms = self.clock.now_ms()
        is_degraded = self.is_degraded()
        if not is_degraded:
            if now_ms < self._sweep_at:
                return []
            if not self._drained and now_ms < self._sweep_at + SWEEP_LATE_MS:
                return []  # missing commands are most likely still in the stream
        self._sweep_at = now_ms + SWEEP_EVERY_MS
        commands = self.unsequenced.sweep(age_ms=0 if is_degraded else SWEEP_AGE_MS, limit=limit)
        if commands and not is_degraded and self._drained:
            self._find_stream_start()
        return commands

    def _find_stream_start(self) -> None:
        """Start over if the stream was wiped: below the old position nothing would ever be read."""
        try:
            self.position = self.stream.start_for(self.position)
        except StreamDown:
            self.stream_failed(self.clock.now_ms())

    def ahead_of(self, commands: Sequence[Command]) -> list[Entering]:
        """Return unsequenced commands on which the batch depends and which are not in the batch."""
        here: set[int] = set()
        for command in commands:
            if is_order(command) or type(command) is CancelAfter:
                here.update(keys_of(command))
        targets: set[int] = set()
        sweeping: list[Sweeping] = []
        for command in commands:
            if isinstance(command, Cancel | Amend):
                order_id = command.order_id
                if order_id not in here and not self._is_open(command.symbol_id, order_id):
                    targets.add(order_id)
            elif isinstance(command, CancelAll | CancelAfter):
                sweeping.append(command)
        if not targets and not sweeping:
            return []
        ahead = self.unsequenced.needed_before(targets, sweeping)
        return [one for one in ahead if not here.intersection(keys_of(one))]

    def _is_open(self, symbol_id: int, order_id: int) -> bool:
        book = self.engine.books.get(symbol_id)
        return book is not None and open_order(book, order_id) is not None


def _until(due_ms: int, own_due_ms: int | None, now_ms: int, *, at_most: int) -> int:
    """Return the milliseconds until the earlier of two due times, at most `at_most`."""
    if own_due_ms is not None:
        due_ms = min(due_ms, own_due_ms)
    return max(0, min(at_most, due_ms - now_ms))
