"""Rules for a list of linked orders, as its client words them. Pure.

This module has only the rules of the list; orders/validation/orders.py checks each order alone.
"""

from collections.abc import Sequence
from typing import Final

from exchange.domain.codes import Code
from exchange.domain.enums import (
    TRIGGER_TYPES,
    ListKind,
    OrderType,
    SelfTradePrevention,
    TimeInForce,
)
from exchange.domain.errors import DomainError
from orders.validation.requests import OrderTermsRequest
from orders.validation.values import word_of

ORDERS_OF: Final = {ListKind.OCO: 2, ListKind.OTO: 2, ListKind.OTOCO: 3}
assert set(ORDERS_OF) == set(ListKind)
LIST_ORDERS_MAX: Final = max(ORDERS_OF.values())
_KINDS: Final = {kind.value: kind for kind in ListKind}


def list_kind_of(word: str) -> ListKind:
    """Return the kind of a list. Raises request.field_invalid for an unknown word."""
    return word_of(_KINDS, word, "type")


def list_size_check(kind: ListKind, size: int) -> None:
    """Raise order.list_invalid unless a list of this kind has `size` orders."""
    if size != ORDERS_OF[kind]:
        raise _invalid("orders", f"an {kind} has {ORDERS_OF[kind]} orders")


def list_check(
    kind: ListKind, orders: Sequence[OrderTermsRequest], *, self_trade: SelfTradePrevention
) -> None:
    """Raise order.list_invalid, naming the field; `self_trade` is the user's default mode.

    Every order must be able to wait, so it is gtc and not a plain market order. In a pair, where
    one order cancels the other, at least one has a trigger: otherwise both would be in the book.
    """
    client_ids: set[str] = set()
    for index, order in enumerate(orders):
        if order.type == OrderType.MARKET:
            raise _invalid(f"orders.{index}.type", "an order of a list is no market order")
        if order.time_in_force not in (None, TimeInForce.GTC):
            raise _invalid(f"orders.{index}.time_in_force", "an order of a list is gtc")
        if order.client_order_id in client_ids:
            raise _invalid(f"orders.{index}.client_order_id", "each order has one of its own")
        client_ids.add(order.client_order_id)
    if kind is not ListKind.OCO:
        _parent_check(orders[0], self_trade)
    if kind is not ListKind.OTO:
        _pair_check(orders)


def in_list(error: DomainError, index: int) -> DomainError:
    """Return the refusal of one order of a list, with the field's path in the list's request."""
    field = error.field
    is_of_list = field == "symbol" and error.code is not Code.REQUEST_FIELD_UNKNOWN
    if field is None or is_of_list:  # the refusal concerns the whole list
        return error
    return DomainError(error.code, field=f"orders.{index}.{field}", **error.params)


def _parent_check(parent: OrderTermsRequest, self_trade: SelfTradePrevention) -> None:
    # A decremented parent shrinks without a fill and brings in too little for its children.
    if (parent.self_trade_prevention or self_trade) == SelfTradePrevention.DECREMENT:
        rule = "the order that the others wait for cannot be decremented"
        raise _invalid("orders.0.self_trade_prevention", rule)


def _pair_check(orders: Sequence[OrderTermsRequest]) -> None:
    first, second = orders[-2:]
    if first.side != second.side:
        last = len(orders) - 1
        raise _invalid(f"orders.{last}.side", "both orders of the pair are on one side")
    if first.type not in TRIGGER_TYPES and second.type not in TRIGGER_TYPES:
        raise _invalid("orders", "at least one order of the pair has a trigger")


def _invalid(field: str, rule: str) -> DomainError:
    return DomainError(Code.ORDER_LIST_INVALID, field=field, rule=rule)
