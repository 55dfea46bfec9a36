"""Rules for amends of an order. Pure; the engine's answer is final.

Units: prices in ticks, quantities in lots; 0 leaves a term as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from exchange.domain.codes import Code
from exchange.domain.enums import (
    LIMIT_TYPES,
    RESTING_STATUSES,
    TRIGGER_TYPES,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import SymbolUnits
from orders.validation.requests import AmendRequest
from orders.validation.terms import (
    bound_side_check,
    display_check,
    display_lots_parse,
    parts_check,
)
from orders.validation.values import price_ticks_of, quantity_lots_of

_ENDING: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class AmendTerms(NamedTuple):
    """New terms on the grid. `price_ticks` is the bound if the order trades as a market order."""

    price_ticks: int = 0
    quantity_lots: int = 0
    stop_ticks: int = 0
    display_lots: int = 0

    def is_reduction(self, price_ticks: int, quantity_lots: int) -> bool:
        """Return whether the terms only make an order of this price and quantity smaller."""
        is_pure = self.price_ticks in (0, price_ticks)
        is_pure = is_pure and not self.stop_ticks and not self.display_lots
        return is_pure and 0 < self.quantity_lots < quantity_lots


@dataclass(frozen=True, slots=True)
class AmendedOrder:
    """The columns of an order's row that an amend is checked against."""

    side: Side
    type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    is_listed: bool
    quantity_lots: int  # 0 for an order by quote amount
    display_lots: int
    stop_ticks: int
    bound_ticks: int
    price_ticks: int = 0  # the limit; 0 for none

    @property
    def meets_the_book(self) -> bool:
        """Return whether the order is in the book or enters the book at its next step."""
        if self.status in RESTING_STATUSES:
            return True
        is_new = self.status is OrderStatus.NEW
        return is_new and self.type is OrderType.LIMIT and not self.is_listed


# The columns that amended_order reads.
AMENDED_COLUMNS: Final = (
    "list_id, side, type, time_in_force, status, quantity, display_quantity, price, stop_price,"
    " bound_price"
)


def amended_order(row: Mapping[str, Any], units: SymbolUnits) -> AmendedOrder:
    """Read an AmendedOrder from a row of orders_order."""

    def ticks(name: str) -> int:
        return 0 if row[name] is None else units.price_ticks(row[name])

    def lots(name: str) -> int:
        return 0 if row[name] is None else units.quantity_lots(row[name])

    return AmendedOrder(
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        status=OrderStatus(row["status"]),
        is_listed=row["list_id"] is not None,
        quantity_lots=lots("quantity"),
        display_lots=lots("display_quantity"),
        price_ticks=ticks("price"),
        stop_ticks=ticks("stop_price"),
        bound_ticks=ticks("bound_price"),
    )


def amend_terms(request: AmendRequest, rules: SymbolRules) -> AmendTerms:
    """Return the new terms on the symbol's grid. Raises DomainError."""
    price, quantity = request.price, request.quantity
    stop, display = request.stop_price, request.display_quantity
    if price is None and quantity is None and stop is None and display is None:
        raise DomainError(Code.ORDER_AMEND_EMPTY)
    others = (price, stop, display)
    if request.keep_priority and (quantity is None or any(term is not None for term in others)):
        raise DomainError(Code.ORDER_PRIORITY_NEEDS_REDUCTION, field="keep_priority")
    return AmendTerms(
        0 if price is None else price_ticks_of(price, rules),
        0 if quantity is None else quantity_lots_of(quantity, rules),
        0 if stop is None else price_ticks_of(stop, rules, "stop_price"),
        0 if display is None else display_lots_parse(display, rules),
    )


def amend_check(terms: AmendTerms, order: AmendedOrder, rules: SymbolRules) -> None:
    """Raise DomainError if an order of this type cannot take these terms."""
    if terms.price_ticks and order.type not in LIMIT_TYPES:
        raise DomainError(Code.ORDER_PRICE_FORBIDDEN, field="price")
    if terms.stop_ticks:
        _stop_check(order)
    quantity_lots = terms.quantity_lots or order.quantity_lots
    if terms.display_lots:
        if order.type not in LIMIT_TYPES or order.time_in_force in _ENDING:
            raise DomainError(Code.ORDER_AMEND_NO_DISPLAY, field="display_quantity")
        display_check(terms.display_lots, quantity_lots, rules)
    elif terms.quantity_lots:
        parts_check(order.display_lots, quantity_lots, rules)


def is_more(terms: AmendTerms, order: AmendedOrder) -> bool:
    """Return whether the amend asks for another price, another stop or a larger quantity."""
    return (
        terms.price_ticks not in (0, order.price_ticks)
        or terms.stop_ticks not in (0, order.stop_ticks)
        or terms.quantity_lots > order.quantity_lots
    )


def bound_ticks_after(order: AmendedOrder, usual_ticks: int, new_usual_ticks: int) -> int:
    """Return the new bound of an order that gets a new stop price, or 0 if the bound stays.

    The usual bound of the old stop price (`usual_ticks`) moves with the stop price. A bound that
    the client named stays.
    """
    return new_usual_ticks if order.bound_ticks == usual_ticks else 0


def bound_check(terms: AmendTerms, order: AmendedOrder, rules: SymbolRules) -> None:
    """Raise order.bound_price_invalid if the bound bars trades at the new stop price."""
    bound_ticks = terms.price_ticks or order.bound_ticks
    bound_side_check(bound_ticks, order.side, terms.stop_ticks, rules, "stop_price")


def _stop_check(order: AmendedOrder) -> None:
    has_stop = order.type in TRIGGER_TYPES and order.type is not OrderType.TRAILING_STOP
    if not has_stop or order.status in RESTING_STATUSES:
        raise DomainError(Code.ORDER_AMEND_NO_TRIGGER, field="stop_price")
