"""The matching worker's loop: the one place where commands get their sequence.

    read a batch -> keep what Postgres says is unsequenced -> apply -> commit -> publish -> notify

Postgres is the truth; commands come by matching/worker/arrivals.py. The engine's memory is ahead of
Postgres for one transaction at most: any failure in between ends the process, and the next process
starts from the committed rows. Nothing is published before its commit.

Pure zone: no driver, no clock, no framework. The loop's ports are in matching/worker/ports.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import Command
from matching.worker.arrivals import Arrivals, Counts
from matching.worker.batch_order import in_dependency_order
from matching.worker.ports import (
    Batch,
    Clock,
    CommitRefused,
    Committed,
    EngineFailed,
    Feed,
    Results,
    StreamDown,
)
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX, Sequencer

HEARTBEAT_EVERY_MS: Final = 1_000
SNAPSHOT_EVERY_MS: Final = 200
SNAPSHOT_AT_LEAST_EVERY_MS: Final = 5_000
TRIM_EVERY_MS: Final = 10_000
REPUBLISH_ROWS_MAX: Final = 200


@dataclass(slots=True)
class Worker:
    """One partition's writer. Call `step` until told to stop; exit after any exception."""

    engine: Engine
    arrivals: Arrivals
    results: Results
    feed: Feed
    clock: Clock
    next_id: Callable[[], int]  # ids of the worker's own commands
    published_seq: int
    faulty_ids: frozenset[int] = frozenset()
    set_aside: frozenset[int] = frozenset()  # symbols without own commands: see Sequencer
    # Applied before all others: halts that must be in force before a doubtful book trades again.
    urgent: list[Command] = field(default_factory=list)
    # So many commands are committed one by one. After a failure this finds a command whose results
    # the database refuses: in a batch it would fail the other commands with it, for ever.
    careful: int = 0
    measure: Callable[[str], AbstractContextManager[object]] = nullcontext
    last_batch: int = 0
    committed_seq: int = 0
    sequencer: Sequencer = field(init=False)
    _renew_at: int = 0
    _trim_at: int = 0
    _snapshot_at: int = 0
    _snapshot_all_at: int = 0
    _turn_ms: int = 0  # the time of the present turn
    _is_behind: bool = False  # frames of committed batches wait to be sent
    _changed: set[int] = field(default_factory=set)  # symbols whose stored book is old

    def __post_init__(self) -> None:
        self.committed_seq = self.engine.sequence
        self._is_behind = self.published_seq < self.committed_seq
        self.sequencer = Sequencer(
            self.engine,
            self.next_id,
            faulty_ids=self.faulty_ids,
            set_aside=self.set_aside,
            urgent_ids=[command.command_id for command in self.urgent],
        )

    def step(self) -> int:
        """Take one turn; return the number of sequenced commands, the worker's own included."""
        commands = self._gather()
        count = 0
        for rows in self._portions(commands):
            with self.measure("commit"):
                committed = self._commit(rows)
            self._publish(committed)
            count += len(rows)
        self._keep_up()
        self.last_batch = len(commands)
        return count

    def is_degraded(self) -> bool:
        """Return whether the stream is down, so that Postgres is polled instead."""
        return self.arrivals.is_degraded()

    @property
    def counts(self) -> Counts:
        """Counts since the last reset."""
        return self.arrivals.counts

    @property
    def stream_position(self) -> str:
        """The place in the stream of the last entry read."""
        return self.arrivals.position

    # --- read, and keep what is unsequenced

    def _gather(self) -> list[Command]:
        # Commands that an earlier turn left are still unsequenced: only this process sequences.
        arrived = {command.command_id: command for command in self.sequencer.left}
        for command in self.arrivals.confirmed(self._urgent_or_read()):
            arrived.setdefault(command.command_id, command)
        for command in self.arrivals.swept(COMMANDS_PER_BATCH_MAX + len(self.sequencer.left)):
            if arrived.setdefault(command.command_id, command) is command:
                self.counts.swept += 1
        self._turn_ms = self.clock.now_ms()
        due = self.sequencer.cancel_after_due(self._turn_ms)
        if due:  # an accepted later setting must keep a cancel-after from firing
            for command in self.arrivals.unsequenced.cancel_after_unsequenced(due):
                arrived.setdefault(command.command_id, command)
        if not arrived:
            return []
        commands = list(arrived.values())
        return in_dependency_order(commands, self.arrivals.ahead_of(commands))

    def _urgent_or_read(self) -> list[Command]:
        urgent, self.urgent = self.urgent, []
        if urgent:
            return urgent
        due = [self._renew_at, self._snapshot_all_at]
        if self._changed:
            due.append(self._snapshot_at)
        return self.arrivals.read(
            due_ms=min(due), own_due_ms=self.sequencer.next_due_ms(), last_batch=self.last_batch
        )

    # --- apply, commit

    def _portions(self, commands: Sequence[Command]) -> Iterator[list[Sequenced]]:
        """Apply the commands; yield the rows of each commit: all rows, or one while `careful`."""
        if not commands and not self.sequencer.is_due(self._turn_ms):
            return
        turn = self.sequencer.turn(commands, self._turn_ms)
        is_careful = True
        while is_careful:
            is_careful = self.careful > 0
            with self.measure("match"):
                rows = self._applied(islice(turn, 1 if is_careful else None))
            if rows:
                self.careful -= is_careful
                yield rows
            else:
                return

    def _applied(self, turn: Iterable[Sequenced]) -> list[Sequenced]:
        try:
            return list(turn)
        except EngineFailed as failure:
            self.results.record_fault(failure.command, failure.error)
            raise

    def _commit(self, rows: list[Sequenced]) -> Committed:
        batch = Batch(rows, self.stream_position, self.published_seq, self.clock.now_ms())
        try:
            committed = self.results.commit(batch)
        except CommitRefused as refusal:
            if len(rows) > 1:
                raise  # the next process commits one by one, and finds the refused command
            command = rows[0].command
            self.results.record_fault(command, refusal)
            raise EngineFailed(command, refusal) from refusal
        assert committed.last_seq == self.engine.sequence
        self.committed_seq = committed.last_seq
        self.sequencer.look_again(committed.look_again)
        self._renew_at = self.clock.now_ms() + HEARTBEAT_EVERY_MS
        return committed

    # --- publish, notify

    def _publish(self, committed: Committed) -> None:
        self._changed.update(committed.symbol_ids)
        if self._is_behind or self.is_degraded():
            self._is_behind = True  # frames are sent in order: `_catch_up` sends these later
            return
        try:
            self.feed.publish(committed.frames, committed.symbol_ids)
            self.published_seq = committed.last_seq
            if committed.needs_settlement:
                self.feed.notify_settlement()
        except StreamDown:
            self._feed_failed()

    def _catch_up(self) -> None:
        """Send frames that a crash or an outage kept back, oldest first."""
        rows = self.results.unpublished(self.published_seq, REPUBLISH_ROWS_MAX)
        for row in rows:
            self.feed.publish(row.frames, row.symbol_ids)
            self.published_seq = row.last_seq
        if len(rows) < REPUBLISH_ROWS_MAX:
            self.published_seq = self.committed_seq
            self._is_behind = False
            self.feed.publish((), self.engine.books.keys())
            self._changed.update(self.engine.books)
            self.feed.notify_settlement()

    def _feed_failed(self) -> None:
        self.counts.feed_failures += 1
        self._is_behind = self.published_seq < self.committed_seq
        self.arrivals.stream_failed(self.clock.now_ms())

    # --- what is due by the clock

    def _keep_up(self) -> None:
        now_ms = self.clock.now_ms()
        is_beat = now_ms >= self._renew_at
        if is_beat:
            self.results.renew(
                stream_position=self.stream_position, published_seq=self.published_seq
            )
            self._renew_at = now_ms + HEARTBEAT_EVERY_MS
        if now_ms < self.arrivals.retry_at:
            return
        try:
            if self._is_behind:
                self._catch_up()
            elif is_beat:
                self.feed.publish((), ())
            self._snapshot(now_ms)
            if now_ms >= self._trim_at:
                self._trim_at = now_ms + TRIM_EVERY_MS
                self.arrivals.stream.trim(self.stream_position)
        except StreamDown:
            self._feed_failed()

    def _snapshot(self, now_ms: int) -> None:
        if now_ms >= self._snapshot_all_at:
            self._snapshot_all_at = now_ms + SNAPSHOT_AT_LEAST_EVERY_MS
            self._changed.update(self.engine.books)
        elif now_ms < self._snapshot_at:
            return
        if self._changed:
            self._snapshot_at = now_ms + SNAPSHOT_EVERY_MS
            self.feed.snapshot(self._changed)
            self._changed = set()
