"""Settlement: the engine's events become ledger entries, balances and released reservations.

One batch is one transaction: read after the cursor, fold (orders/settlement/fold.py), append the
entries, rewrite reservations, move the cursor, and touch the balances in the last statement before
the commit. The cursor moves with the money, so an event is settled exactly once whatever dies (S1):
settlement is idempotent by its position, not by looking for duplicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import psycopg

from exchange.domain.enums import Side
from exchange.domain.units import SymbolUnits, decimal_to_atoms
from matching.engine.journal import Sequenced
from matching.state.codec import decode_journal
from orders.recovery.partition import units_load
from orders.settlement.fold import Fold
from orders.settlement.touched import amends_refused, orders_touched
from wallets.entries import entries_write
from wallets.fees import BUY, SELL
from wallets.locks import (
    BalanceRow,
    array_text,
    balances_apply,
    balances_create_missing,
    reservations_locked,
)
from wallets.reservations import Effects, Held

# A batch ends with the journal row that reaches this many events: about 256 trades. Larger batches
# settle a little faster but keep the balances' locks longer.
EVENTS_PER_SETTLEMENT: Final = 512
ROWS_PER_SETTLEMENT: Final = 128

_SIDES: Final = {Side.BUY.value: BUY, Side.SELL.value: SELL}

_CURSOR: Final = """
SELECT last_seq FROM orders_settlementcursor WHERE partition_id = %s FOR UPDATE SKIP LOCKED
"""
_JOURNAL: Final = """
SELECT first_seq, last_seq, events, trade_ids FROM orders_enginejournal
WHERE partition_id = %s AND last_seq > %s ORDER BY last_seq LIMIT %s
"""
_AMEND_EXTRAS: Final = "SELECT id, reserved_extra FROM orders_command WHERE id = ANY(%s)"
_HOUSE: Final = "SELECT id FROM wallets_account WHERE kind = 'house'"
_RESERVATIONS_KEEP: Final = """
UPDATE wallets_reservation held
SET amount = new.amount, fee_accrued = new.fee_accrued, price_ticks = new.price_ticks,
    pending_amend_id = new.pending_amend_id
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[])
    AS new (order_id, amount, fee_accrued, price_ticks, pending_amend_id)
WHERE held.order_id = new.order_id
"""
# Linked orders only: all other rows keep these columns unset.
_LINKS_KEEP: Final = """
UPDATE wallets_reservation held
SET pool_id = new.pool_id, funded_by = new.funded_by, left_lots = new.left_lots
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS new (order_id, pool_id, funded_by, left_lots)
WHERE held.order_id = new.order_id
"""
_RESERVATIONS_END: Final = "DELETE FROM wallets_reservation WHERE order_id = ANY(%s::bigint[])"
_CURSOR_MOVE: Final = """
UPDATE orders_settlementcursor SET last_seq = %s, updated_at = now() WHERE partition_id = %s
"""


class StreamGap(Exception):
    """The journal does not go on where the cursor stands: a row is missing. Nothing is settled."""

    def __init__(self, *, partition_id: int, expected: int, found: int) -> None:
        super().__init__(f"partition {partition_id}: expected {expected}, found {found}")
        self.partition_id = partition_id
        self.expected = expected
        self.found = found


class Idle(Enum):
    """Why a run settled nothing."""

    SETTLED = "settled"  # there is nothing after the cursor
    LOCKED = "locked"  # another run is at it at this moment


@dataclass(frozen=True, slots=True)
class SettledBatch:
    """What one transaction settled. `balances` are those it changed, as they are now."""

    partition_id: int
    first_seq: int
    last_seq: int
    trades: int
    entries: int
    balances: list[BalanceRow]
    asset_codes: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Batch:
    """The journal rows of one settlement, decoded."""

    rows: list[Sequenced]
    trade_ids: list[int]
    first_seq: int
    last_seq: int


def settle_batch(connection: psycopg.Connection, partition_id: int) -> SettledBatch | None:
    """Settle the next events of a partition in one transaction; None when there was nothing to do.

    The connection is in autocommit mode. Raises StreamGap, and AssertionError for a bug: nothing
    is changed then, and the cursor stays where it was.
    """
    outcome = settle_next(connection, partition_id)
    return None if isinstance(outcome, Idle) else outcome


def settle_next(connection: psycopg.Connection, partition_id: int) -> SettledBatch | Idle:
    """As `settle_batch`, and tell whether nothing was left or another run holds the cursor."""
    with connection.transaction():
        cursor = connection.execute(_CURSOR, (partition_id,)).fetchone()
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
    found = connection.execute(_JOURNAL, (partition_id, settled_seq, ROWS_PER_SETTLEMENT))
    for first_seq, row_last_seq, encoded, row_trade_ids in found.fetchall():
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
    return _Batch(rows, trade_ids, settled_seq + 1, last_seq)


def _settle(connection: psycopg.Connection, partition_id: int, batch: _Batch) -> SettledBatch:
    units = units_load(connection, partition_id)
    scales = _scales(units)
    held = _held(connection, batch.rows, scales)
    fold = Fold(
        held,
        units,
        house_id=_house_id(connection),
        trade_ids=batch.trade_ids,
        amend_extras=_amend_extras(connection, batch.rows, held, scales),
    )
    effects = fold.apply(batch.rows)
    changes = effects.balances()
    if changes:
        balances_create_missing(connection, changes.keys())
    entries = entries_write(connection, effects.journals, scales)
    _reservations_write(connection, effects, scales)
    moved = connection.execute(_CURSOR_MOVE, (batch.last_seq, partition_id))
    assert moved.rowcount == 1
    # Last before the commit: intake waits for these locks.
    balances = balances_apply(connection, changes, scales) if changes else []
    return SettledBatch(
        partition_id=partition_id,
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        trades=len(effects.journals),
        entries=entries,
        balances=balances,
        asset_codes=_asset_codes(units),
    )


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


def _house_id(connection: psycopg.Connection) -> int:
    row = connection.execute(_HOUSE).fetchone()
    assert row is not None, "the house has an account"
    return int(row[0])


def _held(
    connection: psycopg.Connection, rows: Sequence[Sequenced], scales: Mapping[int, int]
) -> dict[int, Held]:
    touched = orders_touched(rows)
    if not touched:
        return {}
    return {
        row.order_id: Held(
            order_id=row.order_id,
            account_id=row.account_id,
            asset_id=row.asset_id,
            symbol_id=row.symbol_id,
            side=_SIDES[row.side],
            price_ticks=row.price_ticks,
            atoms=decimal_to_atoms(row.amount, scales[row.asset_id]),
            maker_fee_ppm=row.maker_fee_ppm,
            taker_fee_ppm=row.taker_fee_ppm,
            accrued=int(row.fee_accrued),
            pending_amend_id=row.pending_amend_id,
            pool_id=row.pool_id,
            funded_by=row.funded_by,
            left_lots=row.left_lots,
        )
        for row in reservations_locked(connection, touched)
    }


def _amend_extras(
    connection: psycopg.Connection,
    rows: Sequence[Sequenced],
    held: Mapping[int, Held],
    scales: Mapping[int, int],
) -> dict[int, int]:
    refused = amends_refused(rows, held)
    if not refused:
        return {}
    scale_of = {
        one.pending_amend_id: scales[one.asset_id]
        for one in held.values()
        if one.pending_amend_id is not None
    }
    found = connection.execute(_AMEND_EXTRAS, (refused,)).fetchall()
    return {
        command_id: decimal_to_atoms(extra, scale_of[command_id]) for command_id, extra in found
    }


def _reservations_write(
    connection: psycopg.Connection, effects: Effects, scales: Mapping[int, int]
) -> None:
    kept, ended = effects.kept(), effects.ended()
    if kept:
        updated = connection.execute(
            _RESERVATIONS_KEEP,
            (
                array_text(held.order_id for held in kept),
                array_text(f"{held.atoms}e-{scales[held.asset_id]}" for held in kept),
                array_text(held.accrued for held in kept),
                array_text(held.price_ticks for held in kept),
                array_text(held.pending_amend_id for held in kept),
            ),
        )
        assert updated.rowcount == len(kept)
    linked = [held for held in kept if not held.is_plain]
    if linked:
        updated = connection.execute(
            _LINKS_KEEP,
            (
                array_text(held.order_id for held in linked),
                array_text(held.pool_id for held in linked),
                array_text(held.funded_by for held in linked),
                array_text(held.left_lots for held in linked),
            ),
        )
        assert updated.rowcount == len(linked)
    if ended:
        deleted = connection.execute(_RESERVATIONS_END, (array_text(ended),))
        assert deleted.rowcount == len(ended)
