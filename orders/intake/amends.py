"""Rules for amends in intake, and what an amend must reserve. No I/O.

The rows read here may be a moment old, so the engine decides again when it applies the amend.
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

POOL_SIZE: Final = 2  # orders that share one reservation


@dataclass(frozen=True, slots=True)
class Reserved:
    """The columns of a locked reservation that an amend is checked against."""

    pending_amend_id: int | None
    pool_id: int | None
    funded_by: int | None


@dataclass(slots=True)
class Linked:
    """A list and the statuses of its orders by id, ascending: a parent comes first."""

    kind: ListKind
    statuses: dict[int, OrderStatus]


def pending_check(order_id: int, reservations: Mapping[int, Reserved]) -> int:
    """Return the id that allows one pending amend at a time: the pool's, or else the order's.

    Raises order.amend_pending, and Deferred if a reservation is missing: each live order has one,
    so another transaction has locked the missing one.
    """
    own = reservations.get(order_id)
    if own is None:
        raise Deferred
    together: Sequence[Reserved] = [own]
    if own.pool_id is not None:
        together = [row for row in reservations.values() if row.pool_id == own.pool_id]
        if len(together) < POOL_SIZE:
            raise Deferred
    if any(row.pending_amend_id is not None for row in together):
        raise DomainError(Code.ORDER_AMEND_PENDING)
    return own.pool_id or order_id


def linked_check(reserved: Reserved, linked: Linked | None) -> None:
    """Raise order.list_amend_not_allowed where fills are to pay for orders of the list.

    That is a funded order, and every order of a list whose parent and one child are live.
    """
    if reserved.funded_by is not None:
        raise DomainError(Code.ORDER_LIST_AMEND)
    if linked is None or linked.kind is ListKind.OCO:
        return
    parent, *children = linked.statuses.values()
    if not is_final(parent) and not all(map(is_final, children)):
        raise DomainError(Code.ORDER_LIST_AMEND)


def amend_extra(job: AmendJob, order: Mapping[str, Any]) -> int:
    """Return the extra atoms to reserve for an amend, enough for any fills before it is applied.

    Raises DomainError for terms that the order cannot take. An order that trades as a market order
    reserves for its bound; with a new stop price, `price_ticks` is a new bound, or 0 if the bound
    stays. For an order of a pool its own extra is enough: the pool reserves at least its need.
    """
    units = job.rules.units
    kind = OrderType(order["type"])
    if kind is OrderType.MARKET:  # it never rests, so the engine would find it finished
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
    """Raise if a smaller quantity leaves less open than the minimum of a new order.

    An order whose rest is that small because of fills may still get another price.
    """
    left_lots = quantity_lots - filled_lots
    if left_lots < rules.quantity_lots_min:
        minimum = plain(rules.units.quantity(filled_lots + rules.quantity_lots_min))
        raise DomainError(Code.ORDER_QUANTITY_BELOW_MIN, field="quantity", minimum=minimum)
    notional_check(worth_ticks, left_lots, rules)


def _priority_check(
    job: AmendJob, order: Mapping[str, Any], price_ticks: int, quantity_lots: int
) -> None:
    """Raise unless the amend only reduces an order that has a place in the book to keep."""
    is_reduction = job.terms.is_reduction(price_ticks, quantity_lots)
    if not is_reduction or order["status"] == OrderStatus.WAITING:
        raise DomainError(Code.ORDER_PRIORITY_NEEDS_REDUCTION, field="keep_priority")


def _stop_ticks(job: AmendJob, order: Mapping[str, Any]) -> int:
    """Return the stop price after the amend, or 0; a trailing stop moves its own stop price."""
    stop_price = order["stop_price"]
    return job.terms.stop_ticks or (
        0 if stop_price is None else job.rules.units.price_ticks(stop_price)
    )
