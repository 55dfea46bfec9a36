"""The matching worker's loop: the one place where commands get their sequence.

    read a batch -> keep what Postgres says is unsequenced -> apply -> commit -> publish -> nudge

Postgres is the truth. The stream only says "look here": its entries may come twice, late, out of
order or never, and a sweep of unsequenced rows finds what it lost. The engine's memory is ahead of
Postgres for one transaction at most: whatever goes wrong in between ends the process, and the next
one starts from the committed rows. Nothing is published before its commit.

Pure zone: no driver, no clock, no framework. `manage.py run_matching` wires the protocols below to
Postgres and Redis; tests/simulation wires them to stand-ins that fail on purpose.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeGuard

from matching.codec import Sequenced, decode_command
from matching.engine import Engine
from matching.messages import Amend, Cancel, CancelAll, Command, Place, RefuseFaulty

COMMANDS_PER_BATCH_MAX: Final = 500
# Under load a batch waits a moment for company, so that it is worth its commit. Not when idle.
LINGER_MS: Final = 3
LINGER_FROM_COMMANDS: Final = 4
LINGER_TO_COMMANDS: Final = 64
IDLE_WAIT_MS_MAX: Final = 250
# A command whose stream entry was lost is found by the sweep at most this much after its commit.
SWEEP_EVERY_MS: Final = 250
SWEEP_AGE_MS: Final = 100  # younger rows are most likely still on their way
SWEEP_LATE_MS: Final = 2_000  # with a stream that never runs dry, sweep at least this often
DEGRADED_POLL_MS: Final = 20
STREAM_RETRY_MS: Final = 500
# A hanging server costs its timeout at each try: try so rarely that it costs a tenth of the time.
STREAM_RETRY_COST: Final = 10
HEARTBEAT_EVERY_MS: Final = 1_000
SNAPSHOT_EVERY_MS: Final = 200
SNAPSHOT_AT_LEAST_EVERY_MS: Final = 5_000
TRIM_EVERY_MS: Final = 10_000
REPUBLISH_ROWS_MAX: Final = 200


class StreamDown(Exception):
    """The transport cannot be reached. The worker goes on without it."""


class LeaseLost(Exception):
    """Another worker has taken the partition over: this one must end at once."""


class EngineFailed(Exception):
    """The engine raised on a command; it is on record, and this process must end."""


class CommitRefused(Exception):
    """Rows or constraints refuse a batch, and would every time: nothing of it is durable."""


class Stream(Protocol):
    """Where commands arrive. Never believed: it is a doorbell, not a record."""

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


class Accepted(Protocol):
    """What Postgres knows of accepted commands. This is believed, the stream is not."""

    def unsequenced(self, commands: Sequence[Command]) -> dict[int, Command]:
        """Return, by id, those commands that are accepted and have no sequence yet.

        As Postgres has them: of what arrived, only the ids count.
        """

    def sweep(self, *, age_ms: int, limit: int) -> list[Command]:
        """Return accepted commands without a sequence, at least this old, by id."""

    def orders_unsequenced(
        self, order_ids: Collection[int], cancel_alls: Sequence[CancelAll]
    ) -> Sequence[Place | RefuseFaulty]:
        """Return the named orders, and those a cancel-all means, that have no sequence yet."""


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

    def nudge_settlement(self) -> None:
        """Wake the settlement of this partition; must not wait for anything."""


class Clock(Protocol):
    def now_ms(self) -> int: ...
    def sleep_ms(self, duration_ms: int) -> None: ...


@dataclass(slots=True)
class Counts:
    """What the loop saw; the management command turns it into metrics."""

    duplicates: int = 0  # stream entries that Postgres does not want (any more)
    garbage: int = 0  # stream entries that are no command
    swept: int = 0  # commands whose stream entry was lost or late
    stream_failures: int = 0
    feed_failures: int = 0

    def reset(self) -> None:
        self.duplicates = self.garbage = self.swept = 0
        self.stream_failures = self.feed_failures = 0


@dataclass(slots=True)
class Worker:
    """One partition's writer. `step` until told to stop; an exception means: exit and reload."""

    engine: Engine
    stream: Stream
    accepted: Accepted
    results: Results
    feed: Feed
    clock: Clock
    stream_position: str
    published_seq: int
    faulty_ids: frozenset[int] = frozenset()
    # Applied before anything else: halts that must hold before a doubtful book trades again.
    urgent: list[Command] = field(default_factory=list)
    # So many commands are committed one by one. After a failure this finds the one, if there is
    # one, whose results the database refuses: among others it would fail them all, for ever.
    careful: int = 0
    measure: Callable[[str], AbstractContextManager[object]] = nullcontext
    counts: Counts = field(default_factory=Counts)
    last_batch: int = 0
    committed_seq: int = 0
    _sweep_at: int = 0
    _retry_at: int = 0
    _renew_at: int = 0
    _trim_at: int = 0
    _snapshot_at: int = 0
    _snapshot_all_at: int = 0
    _drained: bool = True
    _is_behind: bool = False  # frames of committed batches wait to be sent
    _changed: set[int] = field(default_factory=set)  # symbols whose stored book is old

    def __post_init__(self) -> None:
        self.committed_seq = self.engine.sequence
        self._is_behind = self.published_seq < self.committed_seq

    def step(self) -> int:
        """Take one turn; return how many commands it sequenced."""
        commands = self._gather()
        for portion in self._portions(commands):
            with self.measure("match"):
                batch = self._apply(portion)
            with self.measure("commit"):
                committed = self._commit(batch)
            self._publish(committed)
        self._keep_up()
        self.last_batch = len(commands)
        return len(commands)

    def is_degraded(self) -> bool:
        """Whether the transport is down, so that Postgres is polled instead."""
        return self.clock.now_ms() < self._retry_at

    # --- read, and keep what is unsequenced

    def _gather(self) -> list[Command]:
        arrived = {command.command_id: command for command in self.urgent}
        self.urgent = []
        if not arrived:
            for command in self._read():
                arrived.setdefault(command.command_id, command)
        if arrived:
            wanted = self.accepted.unsequenced(list(arrived.values()))
            self.counts.duplicates += len(arrived) - len(wanted)
            arrived = {key: wanted[key] for key in arrived if key in wanted}
        for command in self._swept(COMMANDS_PER_BATCH_MAX):
            if arrived.setdefault(command.command_id, command) is command:
                self.counts.swept += 1
        if not arrived:
            return []
        commands = list(arrived.values())
        return in_causal_order(commands, self._orders_ahead(commands))

    def _read(self) -> list[Command]:
        now_ms = self.clock.now_ms()
        if now_ms < self._retry_at:
            self.clock.sleep_ms(DEGRADED_POLL_MS)
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
        if self._retry_at:  # it is back, perhaps empty and counting from the start
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
        return max(0, min(IDLE_WAIT_MS_MAX, min(due) - now_ms))

    def _decoded(self, entries: Iterable[tuple[str, bytes]]) -> list[Command]:
        commands = []
        for _position, encoded in entries:
            try:
                commands.append(decode_command(encoded))
            except ValueError:
                self.counts.garbage += 1  # the sweep finds the row it was meant to announce
        return commands

    def _swept(self, limit: int) -> list[Command]:
        """Accepted commands that the stream did not bring in time."""
        now_ms = self.clock.now_ms()
        is_degraded = self.is_degraded()
        if not is_degraded:
            if now_ms < self._sweep_at:
                return []
            if not self._drained and now_ms < self._sweep_at + SWEEP_LATE_MS:
                return []  # what is missing is most likely still in the stream
        self._sweep_at = now_ms + SWEEP_EVERY_MS
        commands = self.accepted.sweep(age_ms=0 if is_degraded else SWEEP_AGE_MS, limit=limit)
        if commands and not is_degraded and self._drained:
            self._find_stream_start()
        return commands

    def _find_stream_start(self) -> None:
        """A wiped stream may count from below our position: then nothing would ever be read."""
        try:
            self.stream_position = self.stream.start_for(self.stream_position)
        except StreamDown:
            self._stream_failed(self.clock.now_ms())

    def _orders_ahead(self, commands: Sequence[Command]) -> list[Place | RefuseFaulty]:
        """Orders that the batch's cancels and amends are about, still unknown to the engine."""
        here = {command.order_id for command in commands if is_order(command)}
        targets: set[int] = set()
        cancel_alls: list[CancelAll] = []
        for command in commands:
            if isinstance(command, Cancel | Amend):
                order_id = command.order_id
                if order_id not in here and order_id not in self._book_orders(command.symbol_id):
                    targets.add(order_id)
            elif isinstance(command, CancelAll):
                cancel_alls.append(command)
        if not targets and not cancel_alls:
            return []
        ahead = self.accepted.orders_unsequenced(targets, cancel_alls)
        return [place for place in ahead if place.order_id not in here]

    def _book_orders(self, symbol_id: int) -> Collection[int]:
        book = self.engine.books.get(symbol_id)
        return book.orders if book is not None else ()

    # --- apply, commit

    def _apply(self, commands: Sequence[Command]) -> Batch:
        engine = self.engine
        sequenced = []
        for command in commands:
            if command.command_id in self.faulty_ids:
                command = refusal_of(command)
            try:
                events = engine.apply(command)
            except Exception as error:
                self.results.record_fault(command, error)
                raise EngineFailed(f"command {command.command_id}") from error
            sequenced.append(Sequenced(engine.sequence, command, events))
        return Batch(sequenced, self.stream_position, self.published_seq, self.clock.now_ms())

    def _portions(self, commands: Sequence[Command]) -> list[Sequence[Command]]:
        """What is committed together: all of it, or one by one in careful times."""
        if not commands:
            return []
        if self.careful <= 0:
            return [commands]
        self.careful -= len(commands)
        return [[command] for command in commands]

    def _commit(self, batch: Batch) -> Committed:
        try:
            committed = self.results.commit(batch)
        except CommitRefused as refusal:
            if len(batch.sequenced) > 1:
                raise  # the next process goes carefully, and finds out which of them it is
            command = batch.sequenced[0].command
            self.results.record_fault(command, refusal)
            raise EngineFailed(f"command {command.command_id}") from refusal
        assert committed.last_seq == self.engine.sequence
        self.committed_seq = committed.last_seq
        self._renew_at = self.clock.now_ms() + HEARTBEAT_EVERY_MS
        return committed

    # --- publish, nudge

    def _publish(self, committed: Committed) -> None:
        self._changed.update(committed.symbol_ids)
        if self._is_behind or self.is_degraded():
            self._is_behind = True  # frames go out in order: these wait for their turn
            return
        try:
            self.feed.publish(committed.frames, committed.symbol_ids)
            self.published_seq = committed.last_seq
            if committed.needs_settlement:
                self.feed.nudge_settlement()
        except StreamDown:
            self._feed_failed()

    def _catch_up(self) -> None:
        """Send what a crash or an outage kept from being sent, oldest first."""
        rows = self.results.unpublished(self.published_seq, REPUBLISH_ROWS_MAX)
        for row in rows:
            self.feed.publish(row.frames, row.symbol_ids)
            self.published_seq = row.last_seq
        if len(rows) < REPUBLISH_ROWS_MAX:
            self.published_seq = self.committed_seq
            self._is_behind = False
            self.feed.publish((), self.engine.books.keys())
            self._changed.update(self.engine.books)
            self.feed.nudge_settlement()

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


def is_order(command: Command) -> TypeGuard[Place | RefuseFaulty]:
    """Whether the command enters an order, or stands for one that cannot be entered."""
    return type(command) is Place or (type(command) is RefuseFaulty and command.is_place)


def in_causal_order(
    commands: Sequence[Command], ahead: Iterable[Place | RefuseFaulty]
) -> list[Command]:
    """Keep the order of arrival, but put an order before the commands that are about it.

    `ahead` holds orders that did not arrive at all; they go right before what needs them. A
    cancel-all is about the orders of its account that were accepted before it.
    """
    if not any(isinstance(command, Cancel | Amend | CancelAll) for command in commands):
        return list(commands)
    waiting = {order.order_id: order for order in ahead}
    waiting.update((command.order_id, command) for command in commands if is_order(command))
    ordered: list[Command] = []
    for command in commands:
        if is_order(command):
            ordered += [waiting.pop(command.order_id)] if command.order_id in waiting else []
            continue
        needed = sorted(_orders_meant(command, waiting))
        ordered += [waiting.pop(order_id) for order_id in needed]
        ordered.append(command)
    return ordered


def _orders_meant(command: Command, waiting: Mapping[int, Place | RefuseFaulty]) -> list[int]:
    """Which of the waiting orders have to come before the command."""
    if isinstance(command, Cancel | Amend):
        return [command.order_id] if command.order_id in waiting else []
    if isinstance(command, CancelAll):
        return [
            order.order_id
            for order in waiting.values()
            if isinstance(order, Place)
            and order.account_id == command.account_id
            and order.symbol_id == command.symbol_id
            and order.order_id < command.command_id
        ]
    return []


def refusal_of(command: Command) -> RefuseFaulty:
    """The stand-in that refuses a command on which the engine raised before."""
    return RefuseFaulty(
        command.command_id,
        command.time_ms,
        command.symbol_id,
        getattr(command, "order_id", 0),
        is_order(command),
    )
