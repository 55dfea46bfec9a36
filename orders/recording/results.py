"""The writer of the engine's results: one transaction a batch, fenced by the worker's epoch.

Order states, trades, command answers, the journal row and the checkpoint stand or fall together.
Two round trips: the first writes all rows but the journal's and returns the changed orders' rows;
the second writes the journal row with the frames made from those rows, and commits.
Any error here ends the process; the next process reads from Postgres what was committed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from exchange import symbol_states
from exchange.domain.ids import IdGenerator
from exchange.infra.database import rows_as_dicts
from exchange.realtime.frames import Frame, decode_frames, encode_frames
from matching.engine.core import Engine
from matching.engine.messages import Command
from matching.state.codec import encode_journal
from matching.state.hash import StateHash, advanced_hash, open_order, orders_named
from matching.worker.ports import Batch, CommitRefused, Committed, LeaseLost
from orders.commands.words import STATE_TEXTS
from orders.markets.halts import halt_request
from orders.recording.changes import BatchChanges
from orders.recording.fold import batch_changes
from orders.recording.frames import FrameMaker, PublicChanges
from orders.recording.rows import (
    COMMANDS,
    PREVENTED,
    TRADES,
    answer_rows,
    book_places_take,
    json_text,
    order_statements,
    prevented_rows,
    time_of,
    trade_rows,
)
from orders.recording.trailing import TrailingStops
from orders.recovery.feeds import SymbolFeed, feeds_kept
from orders.recovery.lease import LEASE_S, Lease
from orders.recovery.partition import Loaded
from orders.recovery.snapshots import SnapshotWriter

# A second fault within this time halts the symbol: the first refused command was not the cause.
FAULT_WINDOW_S: Final = 600
FAULTS_TO_HALT: Final = 2
ERROR_TEXT_MAX: Final = 2_000

# The fence. Every transaction of a worker begins with it.
_GUARD = """
UPDATE orders_enginepartition
SET last_seq = %(last_seq)s, state_hash = %(state_hash)s, published_seq = %(published_seq)s,
    stream_position = %(stream_position)s, feed_sequences = %(feed_sequences)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    updated_at = clock_timestamp()
WHERE id = %(id)s AND epoch = %(epoch)s
"""
_RENEW = """
UPDATE orders_enginepartition
SET published_seq = %(published_seq)s, stream_position = %(stream_position)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    updated_at = clock_timestamp()
WHERE id = %(id)s AND epoch = %(epoch)s
"""
_FENCE = """
UPDATE orders_enginepartition SET updated_at = clock_timestamp()
WHERE id = %(id)s AND epoch = %(epoch)s
"""
_JOURNAL = """
INSERT INTO orders_enginejournal
    (partition_id, epoch, first_seq, last_seq, events, frames, trade_ids, state_hash, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s::bigint[], %s, %s)
"""
_UNPUBLISHED = """
SELECT last_seq, frames FROM orders_enginejournal
WHERE partition_id = %s AND last_seq > %s ORDER BY last_seq LIMIT %s
"""
_FAULT = """
INSERT INTO orders_enginefault (command_id, partition_id, symbol_id, error, created_at)
VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT (command_id) DO NOTHING
"""
_FAULTS_RECENT = """
SELECT count(*) FROM orders_enginefault
WHERE symbol_id = %s AND created_at > clock_timestamp() - make_interval(secs => %s)
"""

# Errors that a batch's data can raise in the fold, the frames or the database. Errors of the
# database itself (psycopg.OperationalError and the like) are not among them.
_REFUSED: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    AssertionError,
    ArithmeticError,
    LookupError,
    ValueError,
)


class BatchUnconfirmed(Exception):
    """The database did not confirm a commit: only a reload can tell whether it happened."""


class PostgresResults:
    """Writer of one partition's results. One instance a process: it carries the feed's state."""

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        lease: Lease,
        loaded: Loaded,
        ids: IdGenerator,
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._engine: Engine = loaded.engine
        self._hash: StateHash = loaded.hash
        self._feeds: dict[int, SymbolFeed] = loaded.feeds
        self._frame_maker = FrameMaker(loaded.engine, loaded.units, loaded.feeds)
        self._snapshots = SnapshotWriter()
        self._trailing_stops = TrailingStops(loaded.engine)
        self._ids = ids
        self._key = {"id": lease.partition_id, "epoch": lease.epoch, "lease_s": LEASE_S}

    def commit(self, batch: Batch) -> Committed:
        """Make a batch durable in one transaction.

        Raises LeaseLost when another worker has the partition, and CommitRefused when the batch's
        own data is at fault. After any other error only Postgres can tell the outcome.
        """
        try:
            return self._commit(batch)
        except _REFUSED as error:
            if isinstance(error, psycopg.IntegrityError) and error.diag.constraint_name is None:
                raise  # "no partition found for row" is not the fault of the data
            self._connection.execute("ROLLBACK")  # raises if the connection is lost
            raise CommitRefused(repr(error)) from error

    def _commit(self, batch: Batch) -> Committed:
        sequenced = batch.sequenced
        engine = self._engine
        changes = batch_changes(sequenced, self._frame_maker.states)
        book_places_take(changes, engine.books)
        look_again = self._trailing_stops.tell(batch, changes)
        self._follow(batch)
        states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        state_hash = self._hash.hexdigest(engine.sequence, states, advanced_hash(engine))
        trade_ids = [self._ids.next_id() for _ in changes.trades]
        public = self._frame_maker.advance(batch, changes)
        rows, answers = self._write(batch, changes, trade_ids, state_hash)
        frames = self.frames_of(batch, changes, public, trade_ids, rows)
        frames += self._frame_maker.answers(answers)
        partition_id, time = self._lease.partition_id, time_of(batch.time_ms)
        journal = (
            partition_id,
            self._lease.epoch,
            sequenced[0].sequence,
            sequenced[-1].sequence,
            encode_journal(sequenced),
            encode_frames(frames),
            trade_ids,
            state_hash,
            time,
        )
        with self._connection.pipeline():
            self._connection.execute(_JOURNAL, journal, prepare=True)
            self._snapshots.write(self._connection, partition_id, engine, time)
            done = self._connection.execute("COMMIT")
        if done.statusmessage != "COMMIT":
            raise BatchUnconfirmed(done.statusmessage)
        return Committed(
            last_seq=sequenced[-1].sequence,
            frames=frames,
            symbol_ids=public.symbol_ids(changes),
            trades=len(trade_ids),
            needs_settlement=changes.needs_settlement,
            look_again=self._frame_maker.look_again | look_again,
        )

    def renew(self, *, stream_position: str, published_seq: int) -> None:
        """Extend the lease while there is nothing to commit. Raises LeaseLost."""
        params = {
            **self._key,
            "stream_position": stream_position,
            "published_seq": published_seq,
        }
        if self._connection.execute(_RENEW, params).rowcount != 1:
            raise LeaseLost(self._lease.epoch)

    def unpublished(self, after_seq: int, limit: int) -> list[Committed]:
        """Return at most `limit` committed batches after a sequence, oldest first."""
        rows = self._connection.execute(
            _UNPUBLISHED, (self._lease.partition_id, after_seq, limit)
        ).fetchall()
        return [Committed(last_seq, decode_frames(frames), ()) for last_seq, frames in rows]

    def record_fault(self, command: Command, error: Exception) -> None:
        """Record that a command failed; a second fault in FAULT_WINDOW_S halts its symbol."""
        partition_id, symbol_id = self._lease.partition_id, command.symbol_id
        text = f"{type(error).__name__}: {error}"[:ERROR_TEXT_MAX]
        connection = self._connection
        with connection.transaction():
            if connection.execute(_FENCE, self._key).rowcount != 1:
                raise LeaseLost(self._lease.epoch)
            connection.execute(_FAULT, (command.command_id, partition_id, symbol_id, text))
            faults = connection.execute(_FAULTS_RECENT, (symbol_id, FAULT_WINDOW_S)).fetchone()
            assert faults is not None
            if faults[0] >= FAULTS_TO_HALT:
                halt_request(
                    connection,
                    self._ids,
                    partition_id=partition_id,
                    symbol_id=symbol_id,
                    note="the engine failed on this symbol repeatedly",
                )

    # --- memory

    def _follow(self, batch: Batch) -> None:
        """Update the state hash once for every order that the batch names."""
        named: dict[int, set[int]] = {}
        for row in batch.sequenced:
            named.setdefault(row.command.symbol_id, set()).update(orders_named(row.events))
        for symbol_id, order_ids in named.items():
            book = self._engine.books[symbol_id]
            for order_id in order_ids:
                self._hash.touch(symbol_id, order_id, open_order(book, order_id))

    def frames_of(
        self,
        batch: Batch,
        changes: BatchChanges,
        public: PublicChanges,
        trade_ids: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
    ) -> list[Frame]:
        """Return the feed's frames of a batch whose rows are written but not committed yet."""
        return self._frame_maker.frames(batch, changes, public, trade_ids, rows)

    # --- rows

    def _write(
        self, batch: Batch, changes: BatchChanges, trade_ids: Sequence[int], state_hash: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write all rows but the journal's, in the first round trip.

        Return the changed orders' rows and the answered commands' rows. Raises LeaseLost.
        """
        time = time_of(batch.time_ms)
        connection = self._connection
        texts = self._frame_maker.text
        order_cursors = []
        commands = None
        with connection.pipeline():
            connection.execute("BEGIN")
            guard = connection.execute(_GUARD, self._checkpoint(batch, state_hash), prepare=True)
            for statement, params in order_statements(changes, texts, time):
                cursor = rows_as_dicts(connection)
                order_cursors.append(cursor.execute(statement, params, prepare=True))
            if changes.commands:
                answered = (json_text(answer_rows(changes)),)
                commands = rows_as_dicts(connection).execute(COMMANDS, answered, prepare=True)
            if changes.trades:
                trades = trade_rows(changes, trade_ids, texts)
                connection.execute(TRADES, (time, json_text(trades)), prepare=True)
            if changes.prevented:
                match_ids = [self._ids.next_id() for _ in changes.prevented]
                matches = prevented_rows(changes, match_ids, texts)
                connection.execute(PREVENTED, (time, json_text(matches)))
            for symbol_id, state in changes.states.items():
                connection.execute(symbol_states.FOLLOW, (STATE_TEXTS[state], symbol_id))
        if guard.rowcount != 1:
            connection.execute("ROLLBACK")
            raise LeaseLost(self._lease.epoch)
        rows = [row for cursor in order_cursors for row in cursor.fetchall()]
        assert len(rows) == len(changes.orders), "every order of the batch changed, exactly once"
        answers = [] if commands is None else commands.fetchall()
        assert len(answers) == len(changes.commands)
        return rows, answers

    def _checkpoint(self, batch: Batch, state_hash: str) -> dict[str, Any]:
        feeds = feeds_kept(self._feeds)
        return {
            **self._key,
            "last_seq": batch.sequenced[-1].sequence,
            "state_hash": state_hash,
            "published_seq": batch.published_seq,
            "stream_position": batch.stream_position,
            "feed_sequences": json_text(feeds),
        }
