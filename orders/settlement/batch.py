"""Settlement: the engine's events become ledger entries, balances and released reservations.

One batch is one transaction: read after the cursor, fold (orders/settlement/fold.py), append the
entries, rewrite reservations, move the cursor, and touch the balances in the last statement before
the commit. The cursor moves with the money, so an event is settled exactly once, whatever process
dies (S1): the position makes settlement idempotent, no search for duplicates does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import psycopg

from exchange.domain.units import SymbolUnits, decimal_to_atoms
from exchange.selectors import units_load
from matching.engine.journal import Sequenced
from matching.engine.messages import (
    CommandRefused,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    OrderRepriced,
    Trade,
)
from matching.state.codec import decode_journal
from orders.settlement.fold import Fold, is_repriced
from wallets.entries import entries_write
from wallets.locks import BalanceRow, balances_apply, balances_create_missing
from wallets.reservation_rows import reservations_load, reservations_write
from wallets.reservations import OrderReservation
from wallets.selectors import house_account_id

# A batch ends with the journal row that reaches this many events: about 256 trades. Larger batches
# settle a little faster but hold the locks of balances longer.
EVENTS_PER_SETTLEMENT: Final = 512
ROWS_PER_SETTLEMENT: Final = 128

_CURSOR: Final = """
SELECT last_seq FROM orders_settlementcursor WHERE partition_id = %s FOR UPDATE SKIP LOCKED
"""
JOURNAL: Final = """
SELECT first_seq, last_seq, events, trade_ids FROM orders_enginejournal
WHERE partition_id = %s AND last_seq > %s ORDER BY last_seq LIMIT %s
"""
_AMEND_EXTRAS: Final = "SELECT id, reserved_extra FROM orders_command WHERE id = ANY(%s)"
_CURSOR_MOVE: Final = """
UPDATE orders_settlementcursor SET last_seq = %s, updated_at = now() WHERE partition_id = %s
"""

_ABOUT_ONE_ORDER: Final = (
    OrderRejected,
    OrderCancelled,
    OrderAmended,
    OrderRepriced,
    CommandRefused,
)


class StreamGap(Exception):
    """A journal row is missing after the cursor. Nothing is settled."""

    def __init__(self, *, partition_id: int, expected: int, found: int) -> None:
        super().__init__(f"partition {partition_id}: expected {expected}, found {found}")
        self.partition_id = partition_id
        self.expected = expected
        self.found = found


class Idle(Enum):
    """Why a run settled nothing."""

    SETTLED = "settled"  # there is nothing after the cursor
    LOCKED = "locked"  # another run has locked the cursor


@dataclass(frozen=True, slots=True)
class SettledBatch:
    """The result of one transaction. `balances` are the changed ones, with their new amounts.

    `is_full`: the batch ended at its limit, so that more is most likely waiting.
    """

    partition_id: int
    first_seq: int
    last_seq: int
    trades: int
    entries: int
    balances: list[BalanceRow]
    asset_codes: dict[int, str]
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    """The journal rows of one settlement, decoded."""

    rows: list[Sequenced]
    trade_ids: list[int]
    first_seq: int
    last_seq: int
    is_full: bool


def settle_batch(connection: psycopg.Connection, partition_id: int) -> SettledBatch | None:
    """Settle the next events of a partition in one transaction; None when there was nothing to do.

    The connection is in autocommit mode. Raises StreamGap, and AssertionError for a bug; then
    nothing is changed, the cursor included.
    """
    outcome = settle_next(connection, partition_id)
    return None if isinstance(outcome, Idle) else outcome


def settle_next(connection: psycopg.Connection, partition_id: int) -> SettledBatch | Idle:
    """Settle as `settle_batch` does; Idle says whether nothing was left or the cursor is locked."""
    with connection.transaction():
        cursor = connection.execute(_CURSOR, (partition_id,), prepare=True).fetchone()
        if cursor is None:
            return Idle.LOCKED
        batch = _next_batch(connection, partition_id, cursor[0])
        if batch is None:
            return Idle.SETTLED
        return _settle(connection, partition_id, batch)


def _next_batch(
    connection: psycopg.Connection, partition_id: int, settled_seq: int
) -> _Batch | None:
    rows: list[Sequenced] = []
    trade_ids: list[int] = []
    last_seq = settled_seq
    events = 0
    wanted = (partition_id, settled_seq, ROWS_PER_SETTLEMENT)
    journal = connection.execute(JOURNAL, wanted, prepare=True).fetchall()
    for first_seq, row_last_seq, encoded, row_trade_ids in journal:
        if first_seq != last_seq + 1:
            raise StreamGap(partition_id=partition_id, expected=last_seq + 1, found=first_seq)
        decoded = decode_journal(encoded)
        assert [row.sequence for row in decoded] == list(range(first_seq, row_last_seq + 1))
        rows += decoded
        trade_ids += row_trade_ids
        last_seq = row_last_seq
        events += sum(len(row.events) for row in decoded)
        if events >= EVENTS_PER_SETTLEMENT:
            break
    if not rows:
        return None
    is_full = events >= EVENTS_PER_SETTLEMENT or len(journal) == ROWS_PER_SETTLEMENT
    return _Batch(rows, trade_ids, settled_seq + 1, last_seq, is_full)


def _settle(connection: psycopg.Connection, partition_id: int, batch: _Batch) -> SettledBatch:
    units = units_load(connection, partition_id)
    scales = _scales(units)
    reservations = reservations_load(connection, orders_touched(batch.rows), scales)
    fold = Fold(
        reservations,
        units,
        house_id=house_account_id(connection),
        trade_ids=batch.trade_ids,
        amend_extras=_amend_extras(connection, batch.rows, reservations, scales),
    )
    changes = fold.apply(batch.rows)
    balance_changes = changes.balances()
    if balance_changes:
        balances_create_missing(connection, balance_changes.keys())
    entries = entries_write(connection, changes.journals, scales)
    reservations_write(connection, changes, scales)
    moved = connection.execute(_CURSOR_MOVE, (batch.last_seq, partition_id), prepare=True)
    assert moved.rowcount == 1
    # Last before the commit: intake waits for these locks.
    balances = balances_apply(connection, balance_changes, scales) if balance_changes else []
    return SettledBatch(
        partition_id=partition_id,
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        trades=len(changes.journals),
        entries=entries,
        balances=balances,
        asset_codes=_asset_codes(units),
        is_full=batch.is_full,
    )


def orders_touched(rows: Iterable[Sequenced]) -> set[int]:
    """Return the ids of the orders that the rows name and whose reservations they may change.

    Linked orders may change with them: the other order of a pool, and the orders that a named
    order's fills pay for (wallets.locks.reservations_locked finds both).
    """
    touched: set[int] = set()
    for row in rows:
        for event in row.events:
            if isinstance(event, Trade):
                touched.add(event.maker_order_id)
                touched.add(event.taker_order_id)
            elif isinstance(event, OrderAccepted):
                if is_repriced(row.command, event):
                    touched.add(event.order_id)
            elif isinstance(event, _ABOUT_ONE_ORDER):
                touched.add(event.order_id)
    return touched


def _scales(units: Mapping[int, SymbolUnits]) -> dict[int, int]:
    scales: dict[int, int] = {}
    for one in units.values():
        scales[one.base_asset_id] = one.base_scale
        scales[one.quote_asset_id] = one.quote_scale
    return scales


def _asset_codes(units: Mapping[int, SymbolUnits]) -> dict[int, str]:
    codes: dict[int, str] = {}
    for one in units.values():
        codes[one.base_asset_id], codes[one.quote_asset_id] = one.code.split("-")
    return codes


def _amend_extras(
    connection: psycopg.Connection,
    rows: Sequence[Sequenced],
    reservations: Mapping[int, OrderReservation],
    scales: Mapping[int, int],
) -> dict[int, int]:
    refused = amends_refused(rows, reservations)
    if not refused:
        return {}
    scale_of = {
        one.pending_amend_id: scales[one.asset_id]
        for one in reservations.values()
        if one.pending_amend_id is not None
    }
    found = connection.execute(_AMEND_EXTRAS, (refused,)).fetchall()
    return {
        command_id: decimal_to_atoms(extra, scale_of[command_id]) for command_id, extra in found
    }


def amends_refused(
    rows: Iterable[Sequenced], reservations: Mapping[int, OrderReservation]
) -> list[int]:
    """Return the command ids of refused amends for which extra funds are still reserved."""
    pending = {one.pending_amend_id for one in reservations.values()} - {None}
    return [
        event.command_id
        for row in rows
        for event in row.events
        if type(event) is CommandRefused and event.command_id in pending
    ]
