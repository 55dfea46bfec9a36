"""Whether an open order may get new terms, and what it must hold for them. No I/O.

What is known here may be a moment old: the engine decides again when the amend's turn comes.
Prices in ticks, quantities in lots, money in atoms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exchange.domain.codes import Code
from exchange.domain.enums import LIMIT_TYPES, ListKind, OrderStatus, OrderType, Side
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import plain
from orders.intake.funds import Deferred
from orders.intake.jobs import SIDE_CODES, AmendJob
from orders.lifecycle import is_final
from orders.validation.orders import notional_check
from wallets.fees import amend_extra_atoms

POOL_SIZE: Final = 2  # orders that hold together


@dataclass(frozen=True, slots=True)
class Reserved:
    """A locked reservation, as far as an amend has to know it."""

    pending_amend_id: int | None
    pool_id: int | None
    funded_by: int | None


@dataclass(slots=True)
class Linked:
    """A list and the statuses of its orders by id, ascending: a parent comes first."""

    kind: ListKind
    statuses: dict[int, OrderStatus]


def pending_check(order_id: int, reservations: Mapping[int, Reserved]) -> int:
    """What may have one amend under way at a time: the order's id, or that of its pool.

    Raises order.amend_pending, and Deferred when a reservation that counts is locked: a live
    order always has one, and the other of its pool has one, too.
    """
    own = reservations.get(order_id)
    if own is None:
        raise Deferred
    together: Sequence[Reserved] = [own]
    if own.pool_id is not None:
        together = [one for one in reservations.values() if one.pool_id == own.pool_id]
        if len(together) < POOL_SIZE:
            raise Deferred
    if any(one.pending_amend_id is not None for one in together):
        raise DomainError(Code.ORDER_AMEND_PENDING)
    return own.pool_id or order_id


def linked_check(reserved: Reserved, linked: Linked | None) -> None:
    """Raise for an order whose fills are to pay for others, or one that waits to be paid."""
    if reserved.funded_by is not None:
        raise DomainError(Code.ORDER_LIST_AMEND)
    if linked is None or linked.kind is ListKind.OCO:
        return
    parent, *children = linked.statuses.values()
    if not is_final(parent) and not all(map(is_final, children)):
        raise DomainError(Code.ORDER_LIST_AMEND)


def amend_extra(job: AmendJob, order: Mapping[str, Any]) -> int:
    """Atoms to reserve for an amend of this order, whatever fills before it; or a DomainError.

    What trades as a market order holds for its bound: with a new stop price its `price_ticks` is
    a new bound, or 0 where the bound stays. For an order of a pool the extra of the order alone is
    enough: the pool holds what the order needs, or more.
    """
    units = job.rules.units
    kind = OrderType(order["type"])
    if kind is OrderType.MARKET:  # it never rests: the engine would find it ended
        raise DomainError(Code.ORDER_NOT_OPEN, order_status=order["status"])
    price_ticks = units.price_ticks(order["price" if kind in LIMIT_TYPES else "bound_price"])
    quantity_lots = units.quantity_lots(order["quantity"])
    filled_lots = units.quantity_lots(order["filled"])
    terms = job.terms
    new_price_ticks = terms.price_ticks or price_ticks
    new_quantity_lots = terms.quantity_lots or quantity_lots
    if new_quantity_lots <= filled_lots:
        raise DomainError(Code.ORDER_AMEND_BELOW_FILLED, field="quantity")
    if job.keep_priority:
        _priority_check(job, order, price_ticks, quantity_lots)
    if terms.price_ticks or terms.quantity_lots or terms.stop_ticks:
        worth_ticks = new_price_ticks
        if kind not in LIMIT_TYPES and job.side is Side.SELL:
            worth_ticks = _stop_ticks(job, order) or new_price_ticks
        notional_check(worth_ticks, new_quantity_lots, job.rules)
        if filled_lots and new_quantity_lots < quantity_lots:
            _rest_check(worth_ticks, new_quantity_lots, filled_lots, job.rules)
    return amend_extra_atoms(
        SIDE_CODES[job.side],
        filled_lots=filled_lots,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        new_price_ticks=new_price_ticks,
        new_quantity_lots=new_quantity_lots,
        units=units,
        taker_fee_ppm=order["taker_fee_ppm"],
    )


def _rest_check(worth_ticks: int, quantity_lots: int, filled_lots: int, rules: SymbolRules) -> None:
    """Raise when a smaller quantity would leave less open than a new order may be.

    Where fills made the rest that small the order stays as it is, and may get another price.
    """
    left_lots = quantity_lots - filled_lots
    if left_lots < rules.quantity_lots_min:
        minimum = plain(rules.units.quantity(filled_lots + rules.quantity_lots_min))
        raise DomainError(Code.ORDER_QUANTITY_BELOW_MIN, field="quantity", minimum=minimum)
    notional_check(worth_ticks, left_lots, rules)


def _priority_check(
    job: AmendJob, order: Mapping[str, Any], price_ticks: int, quantity_lots: int
) -> None:
    """Raise unless it is a pure reduction of an order that has a place to keep."""
    is_reduction = job.terms.is_reduction(price_ticks, quantity_lots)
    if not is_reduction or order["status"] == OrderStatus.WAITING:
        raise DomainError(Code.ORDER_PRIORITY_NEEDS_REDUCTION, field="keep_priority")


def _stop_ticks(job: AmendJob, order: Mapping[str, Any]) -> int:
    """The stop price that will count, or 0: a trailing stop moves its own."""
    stop_price = order["stop_price"]
    return job.terms.stop_ticks or (
        0 if stop_price is None else job.rules.units.price_ticks(stop_price)
    )
