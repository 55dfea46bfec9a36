"""Check of L5 for linked orders: pools that share one reservation, and funded orders.

The two orders of a pool (an OCO, or the pair of an OTOCO) never both trade: the sum of their two
rows is what the larger order requires. The reservation of a funded order is what its parent's fills
brought in, but not more than the order requires. While an amend of such an order is on its way
nothing is released (docs/adr/0015): the reservation may then be larger, never smaller.

A run reads, for each parent of a funded order, the parent's row and its trades.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import psycopg

from exchange.domain.enums import Side
from exchange.domain.ids import TIME_SHIFT
from exchange.domain.units import NotExact, SymbolUnits, decimal_to_atoms
from risk.audit.inputs import SymbolRow
from risk.audit.required import (
    AuditedReservation,
    amount_atoms,
    extra_atoms,
    is_enough,
    required_atoms,
    row_problem,
)
from wallets.fees import fee_ceil
from wallets.reconciliation import Breach

# A trade's id is greater than its orders' ids, except for the clocks of two processes.
CLOCK_SLACK: Final = 10_000 << TIME_SHIFT  # 10 s of ids
PARENTS_PER_FETCH: Final = 1_000

_BROUGHT_IN: Final = """
SELECT placed.id, placed.symbol_id, placed.side, placed.maker_fee_ppm, placed.taker_fee_ppm,
    coalesce(made.quantity, 0) + coalesce(taken.quantity, 0),
    coalesce(made.quote_amount, 0), coalesce(taken.quote_amount, 0)
FROM orders_order placed
LEFT JOIN LATERAL (
    SELECT sum(quantity) AS quantity, sum(quote_amount) AS quote_amount FROM orders_trade
    WHERE maker_order_id = placed.id AND id >= placed.id - %(slack)s) AS made ON true
LEFT JOIN LATERAL (
    SELECT sum(quantity) AS quantity, sum(quote_amount) AS quote_amount FROM orders_trade
    WHERE taker_order_id = placed.id AND id >= placed.id - %(slack)s) AS taken ON true
WHERE placed.id = ANY(%(ids)s::bigint[]) AND placed.filled > 0
"""


def is_linked(reservation: AuditedReservation) -> bool:
    """Return whether an order's reservation depends on another order."""
    return reservation.pool_id is not None or reservation.funded_by is not None


def linked_are_exact(
    connection: psycopg.Connection,
    reservations: Iterable[AuditedReservation],
    moving: Collection[int],
    known: Mapping[int, SymbolRow],
) -> list[Breach]:
    """Check L5 for each pool and each funded order; leave out groups with an order in `moving`."""
    groups: dict[tuple[str, int], list[AuditedReservation]] = defaultdict(list)
    for reservation in reservations:
        pool = (
            ("pool", reservation.pool_id)
            if reservation.pool_id is not None
            else ("order", reservation.order_id)
        )
        groups[pool].append(reservation)
    resting = [group for group in groups.values() if not _moves(group, moving)]
    parents = {one.funded_by for group in resting for one in group if one.funded_by is not None}
    brought_in = _brought_in(connection, sorted(parents), known)
    breaches = []
    for group in resting:
        first = group[0]
        try:
            problem = _group_problem(group, known[first.symbol_id].units, brought_in)
        except (NotExact, AssertionError) as error:
            problem = f"cannot be checked: {error!r}"
        if problem is not None:
            ids = " and ".join(str(one.order_id) for one in group)
            breaches.append(Breach("L5", f"order {ids} {problem}", first.asset_id, first.symbol_id))
    return breaches


def _moves(group: Sequence[AuditedReservation], moving: Collection[int]) -> bool:
    return any(one.order_id in moving or one.funded_by in moving for one in group)


def _group_problem(
    group: Sequence[AuditedReservation], units: SymbolUnits, brought_in: Mapping[int, int]
) -> str | None:
    for reservation in group:
        problem = row_problem(reservation, units)
        if problem is not None:
            return problem
    first = group[0]
    if first.pool_id is not None:
        if len(group) != 2:
            return f"is alone in the pool {first.pool_id}"
        if len({(one.account_id, one.asset_id, one.side, one.funded_by) for one in group}) != 1:
            return f"share the pool {first.pool_id} and not their account, asset, side and payer"
        if sum(one.pending_amend_id is not None for one in group) > 1:
            return f"share the pool {first.pool_id} and both wait for an amend"
    needed = max(required_atoms(one, units) for one in group)
    if first.funded_by is not None:
        needed = min(needed, brought_in.get(first.funded_by, 0))
    needed += sum(extra_atoms(one, units) for one in group)
    reserved = sum(amount_atoms(one, units) for one in group)
    if not is_enough(reserved, needed, group):
        payer = "" if first.funded_by is None else f"(paid for by order {first.funded_by}) "
        return f"{payer}reserved {reserved} atoms, required {needed}"
    return None


def _brought_in(
    connection: psycopg.Connection, parent_ids: Sequence[int], known: Mapping[int, SymbolRow]
) -> dict[int, int]:
    """Return the atoms that the fills of each order brought in: base, or quote net of the fee."""
    found: dict[int, int] = {}
    for start in range(0, len(parent_ids), PARENTS_PER_FETCH):
        ids = list(parent_ids[start : start + PARENTS_PER_FETCH])
        rows = connection.execute(_BROUGHT_IN, {"ids": ids, "slack": CLOCK_SLACK}).fetchall()
        for order_id, symbol_id, side, maker_ppm, taker_ppm, quantity, made, taken in rows:
            units = known[symbol_id].units
            if side == Side.BUY:
                found[order_id] = decimal_to_atoms(quantity, units.base_scale)
            else:
                found[order_id] = _proceeds_atoms(made, taken, maker_ppm, taker_ppm, units)
    return found


def _proceeds_atoms(
    made: Decimal, taken: Decimal, maker_fee_ppm: int, taker_fee_ppm: int, units: SymbolUnits
) -> int:
    made_atoms = decimal_to_atoms(made, units.quote_scale)
    taken_atoms = decimal_to_atoms(taken, units.quote_scale)
    fee = fee_ceil(made_atoms * maker_fee_ppm + taken_atoms * taker_fee_ppm)
    return made_atoms + taken_atoms - fee
