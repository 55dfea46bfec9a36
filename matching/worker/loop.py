"""The matching worker's loop: the one place where commands get their sequence.

    read a batch -> keep what Postgres says is unsequenced -> apply -> commit -> publish -> notify

Postgres is the truth. The stream is only a hint: its entries may come twice, late, out of order or
never, and a sweep of unsequenced rows finds the commands that the stream lost. The engine's memory
is ahead of Postgres for one transaction at most: any failure in between ends the process, and the
next process starts from the committed rows. Nothing is published before its commit.

Pure zone: no driver, no clock, no framework. The loop's ports are in matching/worker/ports.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import Amend, Cancel, CancelAfter, CancelAll, Command
from matching.state.codec import decode_command
from matching.state.hash import open_order
from matching.worker.batch_order import (
    Entering,
    Sweeping,
    in_dependency_order,
    is_order,
    keys_of,
)
from matching.worker.ports import (
    Batch,
    Clock,
    CommitRefused,
    Committed,
    EngineFailed,
    Feed,
    Results,
    Stream,
    StreamDown,
    Unsequenced,
)
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX, Sequencer

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
HEARTBEAT_EVERY_MS: Final = 1_000
SNAPSHOT_EVERY_MS: Final = 200
SNAPSHOT_AT_LEAST_EVERY_MS: Final = 5_000
TRIM_EVERY_MS: Final = 10_000
REPUBLISH_ROWS_MAX: Final = 200


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
class Worker:
    """One partition's writer. Call `step` until told to stop; exit after any exception."""

    engine: Engine
    stream: Stream
    unsequenced: Unsequenced
    results: Results
    feed: Feed
    clock: Clock
    next_id: Callable[[], int]  # ids of the worker's own commands
    stream_position: str
    published_seq: int
    faulty_ids: frozenset[int] = frozenset()
    set_aside: frozenset[int] = frozenset()  # symbols without own commands: see Sequencer
    # Applied before all others: halts that must be in force before a doubtful book trades again.
    urgent: list[Command] = field(default_factory=list)
    # So many commands are committed one by one. After a failure this finds a command whose results
    # the database refuses: in a batch it would fail the other commands with it, for ever.
    careful: int = 0
    measure: Callable[[str], AbstractContextManager[object]] = nullcontext
    counts: Counts = field(default_factory=Counts)
    last_batch: int = 0
    committed_seq: int = 0
    sequencer: Sequencer = field(init=False)
    _sweep_at: int = 0
    _retry_at: int = 0
    _renew_at: int = 0
    _trim_at: int = 0
    _snapshot_at: int = 0
    _snapshot_all_at: int = 0
    _turn_ms: int = 0  # the time of the present turn
    _drained: bool = True
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
        return self.clock.now_ms() < self._retry_at

    # --- read, and keep what is unsequenced

    def _gather(self) -> list[Command]:
        # Commands that an earlier turn left are still unsequenced: only this process sequences.
        arrived = {command.command_id: command for command in self.sequencer.left}
        new = self._arrivals()
        if new:
            wanted = self.unsequenced.confirm(new)
            self.counts.duplicates += len(new) - len(wanted)
            for key in (command.command_id for command in new):
                if key in wanted:
                    arrived.setdefault(key, wanted[key])
        for command in self._swept(COMMANDS_PER_BATCH_MAX + len(self.sequencer.left)):
            if arrived.setdefault(command.command_id, command) is command:
                self.counts.swept += 1
        self._turn_ms = self.clock.now_ms()
        due = self.sequencer.cancel_after_due(self._turn_ms)
        if due:  # an accepted later setting must keep a cancel-after from firing
            for command in self.unsequenced.cancel_after_unsequenced(due):
                arrived.setdefault(command.command_id, command)
        if not arrived:
            return []
        commands = list(arrived.values())
        return in_dependency_order(commands, self._ahead_of(commands))

    def _arrivals(self) -> list[Command]:
        """Return the urgent commands, or else those of the stream; each command once."""
        urgent, self.urgent = self.urgent, []
        return list({command.command_id: command for command in urgent or self._read()}.values())

    def _read(self) -> list[Command]:
        now_ms = self.clock.now_ms()
        if now_ms < self._retry_at:
            self.clock.sleep_ms(self._until(self._retry_at, now_ms, at_most=DEGRADED_POLL_MS))
            return []
        if LINGER_FROM_COMMANDS <= self.last_batch < LINGER_TO_COMMANDS:
            self.clock.sleep_ms(LINGER_MS)
        try:
            entries = self.stream.read(
                self.stream_position, COMMANDS_PER_BATCH_MAX, self._wait_ms(now_ms)
            )
        except StreamDown:
            self.counts.stream_failures += 1
            self._stream_failed(now_ms)
            return []
        if self._retry_at:  # the stream is back, perhaps empty and counting from the start
            self._retry_at = 0
            self._find_stream_start()
        self._drained = len(entries) < COMMANDS_PER_BATCH_MAX
        if entries:
            self.stream_position = entries[-1][0]
        return self._decoded(entries)

    def _wait_ms(self, now_ms: int) -> int:
        due = [self._sweep_at, self._renew_at, self._snapshot_all_at]
        if self._changed:
            due.append(self._snapshot_at)
        return self._until(min(due), now_ms, at_most=IDLE_WAIT_MS_MAX)

    def _until(self, due_ms: int, now_ms: int, *, at_most: int) -> int:
        """Return the milliseconds until `due_ms` or the sequencer's next due time, if sooner."""
        own_ms = self.sequencer.next_due_ms()
        if own_ms is not None:
            due_ms = min(due_ms, own_ms)
        return max(0, min(at_most, due_ms - now_ms))

    def _decoded(self, entries: Iterable[tuple[str, bytes]]) -> list[Command]:
        commands = []
        for _position, encoded in entries:
            try:
                commands.append(decode_command(encoded))
            except ValueError:
                self.counts.garbage += 1  # the sweep finds the row that the entry announced
        return commands

    def _swept(self, limit: int) -> list[Command]:
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
            self.stream_position = self.stream.start_for(self.stream_position)
        except StreamDown:
            self._stream_failed(self.clock.now_ms())

    def _ahead_of(self, commands: Sequence[Command]) -> list[Entering]:
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
        self._stream_failed(self.clock.now_ms())

    def _stream_failed(self, tried_at_ms: int) -> None:
        now_ms = self.clock.now_ms()
        pause_ms = max(STREAM_RETRY_MS, STREAM_RETRY_COST * (now_ms - tried_at_ms))
        self._retry_at = now_ms + pause_ms

    # --- what is due by the clock

    def _keep_up(self) -> None:
        now_ms = self.clock.now_ms()
        is_beat = now_ms >= self._renew_at
        if is_beat:
            self.results.renew(
                stream_position=self.stream_position, published_seq=self.published_seq
            )
            self._renew_at = now_ms + HEARTBEAT_EVERY_MS
        if now_ms < self._retry_at:
            return
        try:
            if self._is_behind:
                self._catch_up()
            elif is_beat:
                self.feed.publish((), ())
            self._snapshot(now_ms)
            if now_ms >= self._trim_at:
                self._trim_at = now_ms + TRIM_EVERY_MS
                self.stream.trim(self.stream_position)
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
