"""What the engine did, made durable: one transaction per batch, fenced by the worker's epoch.

Order states, trades, command answers, the journal row and the checkpoint stand or fall together.
Two round trips: the first one writes everything the batch knows by itself and brings back the
touched orders; the second writes the journal with the frames made from them, and commits.
Any error here ends the process: what was committed is then read back from Postgres.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from exchange.domain.enums import Side, SymbolState
from exchange.domain.ids import IdGenerator
from exchange.domain.units import SymbolUnits
from exchange.realtime.publish import (
    Frame,
    SymbolText,
    decode_frames,
    depth_delta,
    encode_frames,
    order_frame,
    time_text,
    trade_frame,
)
from matching.codec import encode_journal
from matching.engine import Engine
from matching.lease import LEASE_S, Lease
from matching.messages import BUY, HALT, Command, Trade
from matching.snapshot import StateHash, orders_named
from matching.worker import Batch, CommitRefused, Committed, LeaseLost
from orders.lifecycle import is_final
from orders.loading import Loaded, SymbolFeed, halt_request, rows_as_dicts, time_of
from orders.outcomes import OrderChange, Outcome, outcome_of
from orders.selectors import order_json

# A second fault on a symbol within this time halts it: the first refused command was not the cause.
FAULT_WINDOW_S: Final = 600
FAULTS_TO_HALT: Final = 2
ERROR_TEXT_MAX: Final = 2_000

_SIDE_TEXT: Final = {0: Side.BUY.value, 1: Side.SELL.value}
_STATE_TEXT: Final = {0: SymbolState.OPEN.value, HALT: SymbolState.HALT.value}

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
# An order is sequenced exactly once, and what has ended never changes again. The bounds on the id
# leave the planner one partition, mostly, instead of all of them.
_ORDERS = """
UPDATE orders_order AS kept
SET engine_seq = COALESCE(kept.engine_seq, new.engine_seq),
    priority_seq = COALESCE(new.priority_seq, kept.priority_seq),
    status = new.status, reason = new.reason,
    price = COALESCE(new.price, kept.price), quantity = COALESCE(new.quantity, kept.quantity),
    filled = kept.filled + new.filled, filled_quote = kept.filled_quote + new.filled_quote,
    updated_at = %(time)s, finished_at = CASE WHEN new.is_final THEN %(time)s::timestamptz END
FROM json_to_recordset(%(rows)s::json) AS new(
    id bigint, engine_seq bigint, priority_seq bigint, status text, reason text, price numeric,
    quantity numeric, filled numeric, filled_quote numeric, is_final boolean)
WHERE kept.id = new.id AND kept.id BETWEEN %(low)s AND %(high)s
  AND kept.status IN ('new', 'open', 'partially_filled')
  AND (kept.engine_seq IS NULL) = (new.engine_seq IS NOT NULL)
RETURNING kept.*
"""
_COMMANDS = """
UPDATE orders_command AS kept SET engine_seq = new.engine_seq, refusal = new.refusal
FROM json_to_recordset(%s::json) AS new(id bigint, engine_seq bigint, refusal text)
WHERE kept.id = new.id AND kept.engine_seq IS NULL
"""
_TRADES = """
INSERT INTO orders_trade
    (id, symbol_id, engine_seq, price, quantity, quote_amount, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, created_at)
SELECT id, symbol_id, engine_seq, price, quantity, quote_amount, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, %s
FROM json_to_recordset(%s::json) AS new(
    id bigint, symbol_id bigint, engine_seq bigint, price numeric, quantity numeric,
    quote_amount numeric, maker_order_id bigint, taker_order_id bigint, maker_account_id bigint,
    taker_account_id bigint, taker_side text)
"""
_STATE = "UPDATE exchange_symbol SET state = %s WHERE id = %s"
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

# What the data of a batch raises, in the fold, in its frames or in the database. Trouble with the
# database itself (psycopg.OperationalError and the like) is not among it.
_REFUSED: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    AssertionError,
    ArithmeticError,
    LookupError,
    ValueError,
)

_json: Final = msgspec.json.Encoder()


class OutcomeUnknown(Exception):
    """The database did not confirm a commit: only a reload can tell what holds."""


class PostgresResults:
    """Writes one partition's results. One instance per process: it carries the feed's state."""

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
        self._units: dict[int, SymbolUnits] = loaded.units
        self._feeds: dict[int, SymbolFeed] = loaded.feeds
        self._texts: dict[int, SymbolText] = {}
        self._ids = ids
        self._key = {"id": lease.partition_id, "epoch": lease.epoch, "lease_s": LEASE_S}

    def commit(self, batch: Batch) -> Committed:
        """Make a batch durable in one transaction.

        Raises LeaseLost when another worker has the partition and CommitRefused when the batch's
        own data is at fault; any other error leaves the outcome to be read back from Postgres.
        """
        try:
            return self._commit(batch)
        except _REFUSED as error:
            if isinstance(error, psycopg.IntegrityError) and error.diag.constraint_name is None:
                raise  # "no partition found for row" is nobody's fault but ours
            self._connection.execute("ROLLBACK")  # which shows that the connection lives
            raise CommitRefused(repr(error)) from error

    def _commit(self, batch: Batch) -> Committed:
        sequenced = batch.sequenced
        outcome = outcome_of(sequenced)
        self._follow(batch)
        engine = self._engine
        states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        state_hash = self._hash.hexdigest(engine.sequence, states)
        trade_ids = [self._ids.next_id() for _ in outcome.trades]
        self._advance_feeds(outcome)
        rows = self._write(batch, outcome, trade_ids, state_hash)
        frames = self._frames(batch, outcome, trade_ids, rows)
        journal = (
            self._lease.partition_id,
            self._lease.epoch,
            sequenced[0].sequence,
            sequenced[-1].sequence,
            encode_journal(sequenced),
            encode_frames(frames),
            trade_ids,
            state_hash,
            time_of(batch.time_ms),
        )
        with self._connection.pipeline():
            self._connection.execute(_JOURNAL, journal)
            done = self._connection.execute("COMMIT")
        if done.statusmessage != "COMMIT":
            raise OutcomeUnknown(done.statusmessage)
        return Committed(
            last_seq=sequenced[-1].sequence,
            frames=frames,
            symbol_ids=set(outcome.levels),
            trades=len(trade_ids),
            needs_settlement=outcome.needs_settlement,
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
        """Return committed batches after a sequence, oldest first."""
        rows = self._connection.execute(
            _UNPUBLISHED, (self._lease.partition_id, after_seq, limit)
        ).fetchall()
        return [Committed(last_seq, decode_frames(frames), ()) for last_seq, frames in rows]

    def record_fault(self, command: Command, error: Exception) -> None:
        """Put on record that a command failed; the second time halts its symbol."""
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

    # --- what the batch changes in memory

    def _follow(self, batch: Batch) -> None:
        """Bring the state hash up to date with every order that the batch names, once each."""
        named: dict[int, set[int]] = {}
        for row in batch.sequenced:
            named.setdefault(row.command.symbol_id, set()).update(orders_named(row.events))
        for symbol_id, order_ids in named.items():
            open_orders = self._engine.books[symbol_id].orders
            for order_id in order_ids:
                self._hash.touch(symbol_id, order_id, open_orders.get(order_id))

    def _advance_feeds(self, outcome: Outcome) -> None:
        for symbol_id in outcome.levels:
            self._feed(symbol_id).sequence += 1
        for symbol_id, _, trade in outcome.trades:
            self._feed(symbol_id).last_ticks = trade.price_ticks

    def _feed(self, symbol_id: int) -> SymbolFeed:
        feed = self._feeds.get(symbol_id)
        if feed is None:
            feed = self._feeds[symbol_id] = SymbolFeed()
        return feed

    def _text(self, symbol_id: int) -> SymbolText:
        text = self._texts.get(symbol_id)
        if text is None:
            text = self._texts[symbol_id] = SymbolText(self._units[symbol_id])
        return text

    # --- rows

    def _write(
        self, batch: Batch, outcome: Outcome, trade_ids: Sequence[int], state_hash: str
    ) -> list[dict[str, Any]]:
        """First round trip: everything but the journal. Return the touched orders' rows."""
        time = time_of(batch.time_ms)
        connection = self._connection
        order_cursor = rows_as_dicts(connection)
        commands = None
        with connection.pipeline():
            connection.execute("BEGIN")
            guard = connection.execute(_GUARD, self._checkpoint(batch, state_hash))
            if outcome.orders:
                changes = [self._order_row(change) for change in outcome.orders.values()]
                bounds = {"low": min(outcome.orders), "high": max(outcome.orders)}
                order_cursor.execute(_ORDERS, {"rows": _text_of(changes), "time": time, **bounds})
            if outcome.commands:
                answers = [
                    {"id": command_id, "engine_seq": sequence, "refusal": refusal}
                    for command_id, (sequence, refusal) in outcome.commands.items()
                ]
                commands = connection.execute(_COMMANDS, (_text_of(answers),))
            if outcome.trades:
                trades = self._trade_rows(outcome, trade_ids)
                connection.execute(_TRADES, (time, _text_of(trades)))
            for symbol_id, state in outcome.states.items():
                connection.execute(_STATE, (_STATE_TEXT[state], symbol_id))
        if guard.rowcount != 1:
            connection.execute("ROLLBACK")
            raise LeaseLost(self._lease.epoch)
        rows = order_cursor.fetchall() if outcome.orders else []
        assert len(rows) == len(outcome.orders), "every order of the batch changed, exactly once"
        assert commands is None or commands.rowcount == len(outcome.commands)
        return rows

    def _checkpoint(self, batch: Batch, state_hash: str) -> dict[str, Any]:
        sequences = {str(symbol_id): feed.sequence for symbol_id, feed in self._feeds.items()}
        return {
            **self._key,
            "last_seq": batch.sequenced[-1].sequence,
            "state_hash": state_hash,
            "published_seq": batch.published_seq,
            "stream_position": batch.stream_position,
            "feed_sequences": _text_of(sequences),
        }

    def _order_row(self, change: OrderChange) -> dict[str, Any]:
        text = self._text(change.symbol_id)
        price_ticks, quantity_lots = change.price_ticks, change.quantity_lots
        return {
            "id": change.order_id,
            "engine_seq": change.engine_seq or None,
            "priority_seq": change.priority_seq or None,
            "status": change.status,
            "reason": change.reason,
            "price": text.price(price_ticks) if price_ticks else None,
            "quantity": text.quantity(quantity_lots) if quantity_lots else None,
            "filled": text.quantity(change.filled_lots),
            "filled_quote": text.quote(change.filled_ticklots),
            "is_final": is_final(change.status),
        }

    def _trade_rows(self, outcome: Outcome, trade_ids: Sequence[int]) -> list[dict[str, Any]]:
        rows = []
        for trade_id, (symbol_id, sequence, trade) in zip(trade_ids, outcome.trades, strict=True):
            text = self._text(symbol_id)
            rows.append(
                {
                    "id": trade_id,
                    "symbol_id": symbol_id,
                    "engine_seq": sequence,
                    "price": text.price(trade.price_ticks),
                    "quantity": text.quantity(trade.quantity_lots),
                    "quote_amount": text.quote(trade.price_ticks * trade.quantity_lots),
                    "maker_order_id": trade.maker_order_id,
                    "taker_order_id": trade.taker_order_id,
                    "maker_account_id": trade.maker_account_id,
                    "taker_account_id": trade.taker_account_id,
                    "taker_side": _SIDE_TEXT[trade.taker_side],
                }
            )
        return rows

    # --- frames

    def _frames(
        self,
        batch: Batch,
        outcome: Outcome,
        trade_ids: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
    ) -> list[Frame]:
        time = time_text(batch.time_ms)
        frames = [self._depth_frame(symbol_id, outcome, time) for symbol_id in outcome.levels]
        for trade_id, (symbol_id, _, trade) in zip(trade_ids, outcome.trades, strict=True):
            frames.append(
                trade_frame(
                    self._text(symbol_id),
                    trade_id=trade_id,
                    price_ticks=trade.price_ticks,
                    quantity_lots=trade.quantity_lots,
                    taker_side=_SIDE_TEXT[trade.taker_side],
                    time=time,
                )
            )
        for row in rows:
            text = self._text(row["symbol_id"])
            fills = [
                _fill(text, trade_ids[index], outcome.trades[index][2], role)
                for index, role in outcome.orders[row["id"]].fills
            ]
            order = order_json(row, text.code)
            frames.append(order_frame(row["account_id"], order=order, fills=fills))
        return frames

    def _depth_frame(self, symbol_id: int, outcome: Outcome, time: str) -> Frame:
        book = self._engine.books[symbol_id]
        sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for side, price_ticks in sorted(outcome.levels[symbol_id]):
            sides[side].append((price_ticks, book.level_quantity(side, price_ticks)))
        sides[BUY].reverse()  # best first, as in a snapshot
        return depth_delta(
            self._text(symbol_id),
            sequence=self._feeds[symbol_id].sequence,
            time=time,
            bids=sides[BUY],
            asks=sides[1],
        )


def _fill(text: SymbolText, trade_id: int, trade: Trade, role: str) -> dict[str, str]:
    return {
        "trade_id": str(trade_id),
        "price": text.price(trade.price_ticks),
        "quantity": text.quantity(trade.quantity_lots),
        "role": role,
    }


def _text_of(value: object) -> str:
    return _json.encode(value).decode()
