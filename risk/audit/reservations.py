"""Check of L5, second half: the amount of each single reservation. Reads only.

Written against the tables and the rules of wallets/fees.py, not against settlement.

A run reads every reservation with its order, the journal rows that are not settled yet
(UNSETTLED_ROWS_MAX at most), and for linked orders the rows named in risk/audit/linked.py.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import psycopg

from exchange.domain.units import NotExact, SymbolUnits
from matching.engine.messages import CommandRefused
from matching.state.codec import decode_journal
from matching.state.hash import orders_named
from risk.audit.inputs import Position, SymbolRow, rows_stream
from risk.audit.linked import is_linked, linked_are_exact
from risk.audit.required import (
    RESERVATIONS,
    AuditedReservation,
    amount_atoms,
    extra_atoms,
    is_enough,
    required_atoms,
    row_problem,
)
from wallets.reconciliation import BREACHES_MAX, Breach

# With more unsettled rows, finding the orders in motion is not worth its cost.
UNSETTLED_ROWS_MAX: Final = 20_000


def reservations_are_exact(
    connection: psycopg.Connection, at: Sequence[Position], known: Mapping[int, SymbolRow]
) -> list[Breach] | None:
    """Check L5, second half: each reservation is what its order requires.

    Orders with unsettled events are left out. Return None, without a check, if more than
    UNSETTLED_ROWS_MAX journal rows are unsettled.
    """
    moving = _orders_in_motion(connection, at)
    if moving is None:
        return None
    breaches: list[Breach] = []
    linked: list[AuditedReservation] = []
    for row in rows_stream(connection, RESERVATIONS):
        reservation = AuditedReservation(*row)
        if is_linked(reservation):
            linked.append(reservation)
            continue
        if reservation.order_id in moving:
            continue
        problem = _plain_problem(reservation, known[reservation.symbol_id].units)
        if problem is not None:
            detail = f"order {reservation.order_id} {problem}"
            breaches.append(Breach("L5", detail, reservation.asset_id, reservation.symbol_id))
            if len(breaches) == BREACHES_MAX:
                break
    if linked:
        breaches += linked_are_exact(connection, linked, moving, known)
    return breaches[:BREACHES_MAX]


def _plain_problem(reservation: AuditedReservation, units: SymbolUnits) -> str | None:
    try:
        problem = row_problem(reservation, units)
        if problem is not None:
            return problem
        expected = required_atoms(reservation, units) + extra_atoms(reservation, units)
        if not is_enough(amount_atoms(reservation, units), expected, [reservation]):
            return f"reserves {reservation.amount:f} and requires {expected} atoms"
    except (NotExact, AssertionError) as error:
        return f"is off its symbol's grid: {error!r}"
    return None


def _orders_in_motion(connection: psycopg.Connection, at: Sequence[Position]) -> set[int] | None:
    """Return the orders that unsettled events name, or None with too many unsettled rows."""
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
