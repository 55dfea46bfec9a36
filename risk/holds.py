"""L5, second half: what each single reservation holds. Reads only.

Written against the tables and the rules of wallets/fees.py, not against settlement.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import psycopg

from exchange.domain.enums import LIVE_STATUSES, Side
from exchange.domain.units import NotExact, SymbolUnits, decimal_to_atoms
from matching.codec import decode_journal
from matching.messages import BUY, CommandRefused
from matching.snapshot import orders_named
from risk.reconciliation import SIDES, Position, SymbolRow, rows_stream
from wallets.fees import hold_atoms, hold_for_quote_amount
from wallets.reconciliation import BREACHES_MAX, Breach

# With more rows than this unsettled, which orders are in motion is not worth finding out.
UNSETTLED_ROWS_MAX: Final = 20_000

_HOLDS: Final = """
SELECT held.order_id, held.symbol_id, held.asset_id, held.side, held.amount, held.price_ticks,
    held.fee_accrued, held.taker_fee_ppm, held.pending_amend_id, placed.status,
    coalesce(placed.price, placed.bound_price), placed.quantity, placed.quote_amount,
    placed.filled, command.reserved_extra, command.engine_seq
FROM wallets_reservation held
LEFT JOIN orders_order placed ON placed.id = held.order_id
LEFT JOIN orders_command command ON command.id = held.pending_amend_id
"""


class _Hold(NamedTuple):
    order_id: int
    symbol_id: int
    asset_id: int
    side: str
    amount: Decimal
    price_ticks: int
    fee_accrued: Decimal
    taker_fee_ppm: int
    pending_amend_id: int | None
    status: str | None
    price: Decimal | None
    quantity: Decimal | None
    quote_amount: Decimal | None
    filled: Decimal
    reserved_extra: Decimal | None
    amend_seq: int | None


def holds_are_exact(
    connection: psycopg.Connection, at: Sequence[Position], known: Mapping[int, SymbolRow]
) -> list[Breach] | None:
    """L5, second half: each reservation is what its order needs, unless it has unsettled events.

    None when so much is unsettled that this was not checked.
    """
    moving = _orders_in_motion(connection, at)
    if moving is None:
        return None
    breaches = []
    for row in rows_stream(connection, _HOLDS):
        hold = _Hold(*row)
        if hold.order_id in moving:
            continue
        try:
            problem = _hold_problem(hold, known[hold.symbol_id].units)
        except NotExact as error:
            problem = f"is off its symbol's grid: {error}"
        if problem is not None:
            detail = f"order {hold.order_id} {problem}"
            breaches.append(Breach("L5", detail, hold.asset_id, hold.symbol_id))
            if len(breaches) == BREACHES_MAX:
                break
    return breaches


def _hold_problem(hold: _Hold, units: SymbolUnits) -> str | None:
    if hold.status is None:
        return "holds funds and does not exist"
    if hold.status not in LIVE_STATUSES:
        return f"is {hold.status} and still holds {hold.amount:f}"
    assert hold.price is not None
    if units.price_ticks(hold.price) != hold.price_ticks:
        return f"holds for a price of {hold.price_ticks} ticks, not for its own"
    if hold.pending_amend_id is not None and (
        hold.reserved_extra is None or hold.amend_seq is not None
    ):
        return f"waits for the amend {hold.pending_amend_id}, which is not under way"
    expected = _expected_atoms(hold, units)
    scale = units.quote_scale if hold.side == Side.BUY else units.base_scale
    if decimal_to_atoms(hold.amount, scale) != expected:
        return f"holds {hold.amount:f} and needs {expected} atoms"
    return None


def _expected_atoms(hold: _Hold, units: SymbolUnits) -> int:
    side = SIDES[hold.side]
    scale = units.quote_scale if side == BUY else units.base_scale
    extra = decimal_to_atoms(hold.reserved_extra or Decimal(0), scale)
    if hold.quote_amount is not None:
        amount = decimal_to_atoms(hold.quote_amount, units.quote_scale)
        return extra + hold_for_quote_amount(amount, taker_fee_ppm=hold.taker_fee_ppm)
    assert hold.quantity is not None
    left_lots = units.quantity_lots(hold.quantity) - units.quantity_lots(hold.filled)
    return extra + hold_atoms(
        side, left_lots, hold.price_ticks, units, int(hold.fee_accrued), hold.taker_fee_ppm
    )


def _orders_in_motion(connection: psycopg.Connection, at: Sequence[Position]) -> set[int] | None:
    """Orders that unsettled events name; None when there are too many rows of them."""
    moving: set[int] = set()
    for position in at:
        rows = connection.execute(
            "SELECT events FROM orders_enginejournal WHERE partition_id = %s AND last_seq > %s"
            " LIMIT %s",
            (position.partition_id, position.settled_seq, UNSETTLED_ROWS_MAX + 1),
        ).fetchall()
        if len(rows) > UNSETTLED_ROWS_MAX:
            return None
        for (events,) in rows:
            for row in decode_journal(events):
                moving |= orders_named(row.events)
                moving |= {e.order_id for e in row.events if isinstance(e, CommandRefused)}
    return moving
