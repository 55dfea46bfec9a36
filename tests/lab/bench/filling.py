"""Fill the tables with a past: orders, trades, ledger and open orders as years of use leave them.

Orders come in pairs. Some pairs have traded with each other, some are open far from the market, the
rest were cancelled; the kinds are spread evenly over the time, and the time over `days` up to a
minute ago. Open orders have reservations, trades have their seven entries, and balances, audit
marks and the engine's checkpoint are as if all of it had happened. What is deleted after a day or a
month is left out: client order ids of ended orders, and the journal.

All of it is one transaction, so that the running stack sees nothing or everything. In the end it
takes the partition from its matching worker, as another worker would; the next one loads it all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg

from exchange.domain.enums import AccountKind
from exchange.domain.ids import EPOCH_MS, TIME_SHIFT, id_floor
from exchange.infra import partition_ranges, partitions
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.models import Symbol
from exchange.selectors import symbols_of_partition
from matching.engine.core import Engine
from matching.state.codec import decode_journal, encode_journal
from matching.state.hash import state_hash
from orders.recovery.rows import books_fill
from orders.recovery.snapshots import SnapshotWriter, engines_kept
from risk.audit.inputs import journal_mark
from risk.audit.reconciliation import GATE_MARK, gate_end
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY
from wallets.models import Account
from wallets.reconciliation import (
    ENTRIES_MARK,
    audited_advance,
    horizon_ms,
    marks_read,
    marks_write,
)

MAKER_PPM: Final = 500
TAKER_PPM: Final = 1_000
TRADED_LEVELS: Final = 400
OPEN_LEVELS: Final = 10_000  # on each side, from twice and half the middle price outwards
PAIRS_AT_ONCE: Final = 100_000
SPAN_ENDS_BEFORE_NOW: Final = timedelta(minutes=1)
TABLES: Final = ("orders_order", "orders_trade", "wallets_entry")

# `place` is 0 for the first order of a pair, which rests, and 1 for the second.
_PAIRS: Final = """
CREATE TEMP TABLE pair_order ON COMMIT DROP AS
SELECT 0::bigint AS number, 0 AS place, 0::bigint AS id, now() AS at, 0::bigint AS account_id,
    ''::text AS side, 0::bigint AS ticks, ''::text AS status LIMIT 0
"""
_PAIRS_NEXT: Final = """
INSERT INTO pair_order
SELECT number, place, (at_ms - %(epoch_ms)s) << %(shift)s, to_timestamp(at_ms / 1000.0),
    (%(accounts)s::bigint[])[1 + (pair + place) %% %(owners)s],
    CASE WHEN is_sell THEN 'sell' ELSE 'buy' END,
    CASE WHEN status <> 'open' THEN %(middle)s - %(levels)s / 2 + pair %% %(levels)s
        WHEN is_sell THEN 2 * %(middle)s + pair %% %(open_levels)s
        ELSE %(middle)s / 2 - pair %% %(open_levels)s * %(middle)s / 4 / %(open_levels)s END,
    status
FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS pair
CROSS JOIN LATERAL (SELECT pair - pair * %(traded)s / %(pairs)s AS rest) AS counted
CROSS JOIN LATERAL (SELECT CASE
    WHEN pair * %(traded)s / %(pairs)s <> (pair - 1) * %(traded)s / %(pairs)s THEN 'filled'
    WHEN rest * %(open)s / %(others)s <> (rest - 1) * %(open)s / %(others)s THEN 'open'
    ELSE 'cancelled' END AS status) AS decided
CROSS JOIN generate_series(0, 1) AS place
CROSS JOIN LATERAL (
    SELECT 2 * pair - 1 + place AS number, (pair + place) %% 2 = 1 AS is_sell) AS one
CROSS JOIN LATERAL (SELECT %(start_ms)s + number * %(step_ms)s AS at_ms) AS timed
"""
_ORDERS: Final = """
INSERT INTO orders_order (id, account_id, symbol_id, client_order_id, side, type, time_in_force,
    post_only, self_trade, price, quantity, status, reason, filled, filled_quote, maker_fee_ppm,
    taker_fee_ppm, engine_seq, priority_seq, created_at, updated_at, finished_at)
SELECT id, account_id, %(symbol)s, 'past-' || number, side, 'limit', 'gtc', false,
    'cancel_incoming', ticks * %(tick)s, %(quantity)s, status,
    CASE WHEN status = 'cancelled' THEN 'order.cancelled_by_user' END,
    CASE WHEN status = 'filled' THEN %(quantity)s ELSE 0 END,
    CASE WHEN status = 'filled' THEN ticks * %(tick)s * %(quantity)s ELSE 0 END,
    %(maker)s, %(taker)s, %(after_seq)s + number, %(after_seq)s + number, at, at,
    CASE WHEN status <> 'open' THEN at END
FROM pair_order
"""
_CLAIMS: Final = """
INSERT INTO orders_clientorderid (account_id, client_order_id, order_id, fingerprint)
SELECT account_id, 'past-' || number, id, sha256(int8send(number)) FROM pair_order
WHERE status = 'open' OR at > now() - interval '24 hours'
"""
_RESERVATIONS: Final = """
INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side, price_ticks,
    amount, maker_fee_ppm, taker_fee_ppm, fee_accrued)
SELECT id, account_id, CASE side WHEN 'sell' THEN %(base)s ELSE %(quote)s END, %(symbol)s, side,
    ticks, CASE side WHEN 'sell' THEN %(quantity)s
        ELSE notional + ceil(notional * %(taker)s / 1000000 * %(unit)s) / %(unit)s END,
    %(maker)s, %(taker)s, 0
FROM pair_order CROSS JOIN LATERAL (SELECT ticks * %(tick)s * %(quantity)s AS notional) AS worth
WHERE status = 'open'
"""
_TRADES: Final = """
INSERT INTO orders_trade (id, symbol_id, engine_seq, price, quantity, quote_amount, maker_order_id,
    taker_order_id, maker_account_id, taker_account_id, taker_side, created_at)
SELECT taker.id, %(symbol)s, %(after_seq)s + taker.number, taker.ticks * %(tick)s, %(quantity)s,
    taker.ticks * %(tick)s * %(quantity)s, maker.id, taker.id, maker.account_id, taker.account_id,
    taker.side, taker.at
FROM pair_order AS taker JOIN pair_order AS maker ON maker.number = taker.number - 1
WHERE taker.place = 1 AND taker.status = 'filled'
"""
_ENTRIES: Final = """
INSERT INTO wallets_entry (id, journal_id, account_id, asset_id, amount, kind)
SELECT trade.id + line, trade.id, line_account, line_asset, line_amount, line_kind
FROM (
    SELECT taker.id, taker.ticks * %(tick)s * %(quantity)s AS notional,
        CASE taker.side WHEN 'buy' THEN taker.account_id ELSE maker.account_id END AS buyer,
        CASE taker.side WHEN 'buy' THEN maker.account_id ELSE taker.account_id END AS seller,
        CASE taker.side WHEN 'buy' THEN %(taker)s ELSE %(maker)s END AS buyer_ppm,
        CASE taker.side WHEN 'buy' THEN %(maker)s ELSE %(taker)s END AS seller_ppm
    FROM pair_order AS taker JOIN pair_order AS maker ON maker.number = taker.number - 1
    WHERE taker.place = 1 AND taker.status = 'filled'
) AS trade
CROSS JOIN LATERAL (SELECT
    ceil(notional * buyer_ppm / 1000000 * %(unit)s) / %(unit)s AS buyer_fee,
    ceil(notional * seller_ppm / 1000000 * %(unit)s) / %(unit)s AS seller_fee) AS fees
CROSS JOIN LATERAL (VALUES
    (1, seller, %(base)s::bigint, -%(quantity)s, 'trade'),
    (2, buyer, %(base)s, %(quantity)s, 'trade'),
    (3, buyer, %(quote)s, -notional, 'trade'), (4, seller, %(quote)s, notional, 'trade'),
    (5, buyer, %(quote)s, -buyer_fee, 'fee'), (6, seller, %(quote)s, -seller_fee, 'fee'),
    (7, %(house)s::bigint, %(quote)s, buyer_fee + seller_fee, 'fee')
) AS lines (line, line_account, line_asset, line_amount, line_kind)
"""
_HOUSE_BALANCE: Final = """
INSERT INTO wallets_balance (account_id, asset_id, available, reserved, may_be_negative, version)
VALUES (%(house)s, %(quote)s, 0, 0, true, 0) ON CONFLICT (account_id, asset_id) DO NOTHING
"""
_BALANCES: Final = """
WITH change AS (
    SELECT account_id, asset_id, sum(total) AS total, sum(held) AS held FROM (
        SELECT account_id, asset_id, sum(amount) AS total, 0 AS held FROM wallets_entry
        WHERE id BETWEEN %(first_id)s AND %(last_id)s AND kind IN ('trade', 'fee')
            AND asset_id IN (%(base)s, %(quote)s)
        GROUP BY account_id, asset_id
        UNION ALL
        SELECT account_id, asset_id, 0, sum(amount) FROM wallets_reservation
        WHERE symbol_id = %(symbol)s GROUP BY account_id, asset_id
    ) AS changes GROUP BY account_id, asset_id
)
UPDATE wallets_balance AS balance SET available = available + change.total - change.held,
    reserved = reserved + change.held, version = version + 1
FROM change
WHERE balance.account_id = change.account_id AND balance.asset_id = change.asset_id
"""
_POSITION: Final = "SELECT last_seq FROM orders_enginepartition WHERE id = %s"
_JOURNAL_AFTER: Final = """
SELECT events FROM orders_enginejournal WHERE partition_id = %s AND last_seq > %s ORDER BY last_seq
"""
_JOURNAL: Final = """
INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events, frames,
    trade_ids, state_hash, created_at)
SELECT id, epoch, last_seq + 1, %(last_seq)s, %(events)s, '', '{}', %(hash)s, %(at)s
FROM orders_enginepartition WHERE id = %(partition)s
"""
_CHECKPOINT: Final = """
UPDATE orders_enginepartition SET epoch = epoch + 1, owner = '', lease_until = NULL,
    last_seq = %(last_seq)s, published_seq = %(last_seq)s, state_hash = %(hash)s,
    updated_at = clock_timestamp()
WHERE id = %(partition)s
"""
_SETTLED: Final = """
UPDATE orders_settlementcursor SET last_seq = %(last_seq)s, updated_at = clock_timestamp()
WHERE partition_id = %(partition)s
"""


@dataclass(frozen=True, slots=True)
class Filling:
    """How many orders, those that are open and the trades among them, over how many days."""

    orders: int
    open: int
    trades: int
    days: int

    def __post_init__(self) -> None:
        assert self.orders % 2 == self.open % 2 == 0, "orders come in pairs"
        assert 2 * self.trades + self.open <= self.orders, "each order trades once, or is open"
        assert self.days > 0

    @property
    def pairs(self) -> int:
        return self.orders // 2


def tables_fill(
    connection: psycopg.Connection,
    filling: Filling,
    symbol: Symbol,
    account_ids: Sequence[int],
    write: Callable[[str], object],
) -> None:
    """Give a symbol without orders this past, shared by these funded accounts.

    The stack is idle meanwhile. `connection` is in autocommit mode. The symbol's matching worker
    has lost its lease afterwards.
    """
    assert len(account_ids) > 1, "nobody trades with himself"
    connection.execute("SET ROLE NONE")  # tables are changed by their owner
    connection.execute("SET statement_timeout = 0")
    with periodic_lock(connection, PeriodicTask.AUDIT, wait=True), connection.transaction():
        end = datetime.now(UTC) - SPAN_ENDS_BEFORE_NOW
        partitions_attach(connection, end - timedelta(days=filling.days), end)
        after_seq = _rows_fill(connection, filling, symbol, account_ids, end, write)
        connection.execute("ANALYZE")
        marks_move(connection)
        checkpoint_move(connection, symbol, after_seq, filling.orders, end)


def partitions_attach(connection: psycopg.Connection, start: datetime, end: datetime) -> None:
    """Attach the partitions of this time that are missing."""
    for partitioned in partition_ranges.TABLES:
        if partitioned.table not in TABLES:
            continue
        present = {one.low for one in partitions.attached(connection, partitioned.table)}
        moment = partitioned.start_of(start)
        while moment <= end:
            one = partitioned.partition_at(moment)
            if one.low not in present:
                partitions.attach(connection, partitioned, one.name, one.low, one.high)
            moment = partitioned.next_start(moment)


def _rows_fill(
    connection: psycopg.Connection,
    filling: Filling,
    symbol: Symbol,
    account_ids: Sequence[int],
    end: datetime,
    write: Callable[[str], object],
) -> int:
    """Insert all rows; return the engine's sequence before them."""
    params = _params(connection, filling, symbol, account_ids, end)
    connection.execute(_PAIRS)
    connection.execute(_HOUSE_BALANCE, params)
    for low in range(1, filling.pairs + 1, PAIRS_AT_ONCE):
        high = min(low + PAIRS_AT_ONCE - 1, filling.pairs)
        connection.execute("TRUNCATE pair_order")
        connection.execute(_PAIRS_NEXT, {**params, "low": low, "high": high})
        connection.execute("ANALYZE pair_order")
        for statement in (_ORDERS, _CLAIMS, _RESERVATIONS, _TRADES, _ENTRIES):
            connection.execute(statement, params)
        write(f"{2 * high:>12,} of {filling.orders:,} orders")
    connection.execute(_BALANCES, params)
    return int(params["after_seq"])


def _params(
    connection: psycopg.Connection,
    filling: Filling,
    symbol: Symbol,
    account_ids: Sequence[int],
    end: datetime,
) -> dict[str, Any]:
    """Return the parameters of all statements above, but the range of pairs."""
    start_ms, end_ms = (
        int(one.timestamp() * 1_000) for one in (end - timedelta(days=filling.days), end)
    )
    step_ms = (end_ms - start_ms) // filling.orders
    assert step_ms > 0, "a millisecond has one order at most"
    return {
        "accounts": list(account_ids), "owners": len(account_ids),
        "symbol": symbol.pk, "base": symbol.base_id, "quote": symbol.quote_id,
        "house": Account.objects.get(kind=AccountKind.HOUSE).pk,
        "tick": symbol.tick, "quantity": Decimal(QUANTITY),
        "unit": 10**symbol.quote.scale, "middle": PRICE_TICKS,
        "levels": TRADED_LEVELS, "open_levels": OPEN_LEVELS,
        "maker": MAKER_PPM, "taker": TAKER_PPM,
        "pairs": filling.pairs, "traded": filling.trades, "open": filling.open // 2,
        "others": max(filling.pairs - filling.trades, 1),
        "start_ms": start_ms, "step_ms": step_ms, "epoch_ms": EPOCH_MS, "shift": TIME_SHIFT,
        "first_id": id_floor(start_ms), "last_id": id_floor(end_ms + 1),
        "after_seq": _position(connection, symbol.partition_id),
    }  # fmt: skip


def marks_move(connection: psycopg.Connection) -> None:
    """Leave the audit's marks as the audits of that time would have left them."""
    marks = marks_read(connection)
    upto_id = marks.get(ENTRIES_MARK, id_floor(horizon_ms(connection)))
    audited_advance(connection, 0, upto_id)
    marks_write(connection, {ENTRIES_MARK: upto_id, GATE_MARK: gate_end(connection)})


def checkpoint_move(
    connection: psycopg.Connection, symbol: Symbol, after_seq: int, commands: int, at: datetime
) -> None:
    """Let the engine have sequenced so many commands more, all settled; fence its worker."""
    partition_id, last_seq = symbol.partition_id, after_seq + commands
    engine = engine_with_rows(connection, symbol, after_seq)
    engine.sequence = last_seq
    SnapshotWriter().write(connection, partition_id, engine, at)
    params = {
        "partition": partition_id, "last_seq": last_seq, "at": at,
        "events": encode_journal([]), "hash": state_hash(engine),
    }  # fmt: skip
    for book in engine.books.values():
        for order in list(book.orders.values()):
            book.remove(order)  # their links are cycles that the collector does not free
    assert _position(connection, partition_id) == after_seq, "the engine was not idle"
    for statement in (_JOURNAL, _CHECKPOINT, _SETTLED):
        connection.execute(statement, params)
    marks_write(connection, {journal_mark(partition_id): last_seq})


def _position(connection: psycopg.Connection, partition_id: int) -> int:
    row = connection.execute(_POSITION, (partition_id,)).fetchone()
    assert row is not None, f"no engine has served partition {partition_id}"
    return int(row[0])


def engine_with_rows(connection: psycopg.Connection, symbol: Symbol, after_seq: int) -> Engine:
    """Return the partition's engine at this sequence, with the symbol's open orders of the rows."""
    known = symbols_of_partition(connection, symbol.partition_id)
    units = {one.symbol_id: one for one, _ in known}
    engine = next(engines_kept(connection, symbol.partition_id, after_seq), None)
    if engine is None:  # a plain engine is in the rows of its orders
        engine = Engine()
    else:
        position = (symbol.partition_id, engine.sequence)
        for (events,) in connection.execute(_JOURNAL_AFTER, position).fetchall():
            for row in decode_journal(events):
                assert engine.apply_again(row) == row.events
        units = {symbol.pk: units[symbol.pk]}
    incomplete = books_fill(connection, engine, units)
    assert not incomplete, f"open orders of the symbols {incomplete} cannot be loaded"
    return engine
