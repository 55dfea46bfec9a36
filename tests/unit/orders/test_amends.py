"""orders.validation.amends: what an amend may ask of each kind of order."""

from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import OrderStatus, OrderType, Side, TimeInForce
from exchange.domain.errors import DomainError
from orders.validation.amends import (
    AmendedOrder,
    AmendTerms,
    amend_check,
    amend_terms,
    bound_check,
    bound_ticks_after,
)
from orders.validation.requests import AmendRequest
from tests.unit.orders.test_validation import rules_make

RULES = rules_make()


def order_make(**changes: Any) -> AmendedOrder:
    values: dict[str, Any] = {
        "side": Side.SELL,
        "type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "status": OrderStatus.OPEN,
        "is_listed": False,
        "quantity_lots": 1_000,
        "display_lots": 0,
        "stop_ticks": 0,
        "bound_ticks": 0,
        **changes,
    }
    return AmendedOrder(**values)


STOP: dict[str, Any] = {"type": OrderType.STOP_MARKET, "status": OrderStatus.WAITING}


@pytest.mark.parametrize(
    ("request_", "terms"),
    [
        (AmendRequest(price="99"), AmendTerms(price_ticks=9_900)),
        (AmendRequest(quantity="2"), AmendTerms(quantity_lots=2_000)),
        (AmendRequest(stop_price="98"), AmendTerms(stop_ticks=9_800)),
        (AmendRequest(display_quantity="0.5"), AmendTerms(display_lots=500)),
        (AmendRequest("99", "2", False, "98", "0.5"), AmendTerms(9_900, 2_000, 9_800, 500)),
    ],
)
def test_amend_keeps_what_is_left_out(request_: AmendRequest, terms: AmendTerms) -> None:
    assert amend_terms(request_, RULES) == terms


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({}, Code.ORDER_AMEND_EMPTY, None),
        ({"keep_priority": True}, Code.ORDER_AMEND_EMPTY, None),
        (
            {"quantity": "1", "stop_price": "1", "keep_priority": True},
            Code.ORDER_PRIORITY_NEEDS_REDUCTION,
            "keep_priority",
        ),
        (
            {"quantity": "1", "display_quantity": "1", "keep_priority": True},
            Code.ORDER_PRIORITY_NEEDS_REDUCTION,
            "keep_priority",
        ),
        ({"stop_price": "0.001"}, Code.ORDER_PRICE_OFF_TICK, "stop_price"),
        ({"stop_price": "0"}, Code.ORDER_PRICE_BELOW_MIN, "stop_price"),
        ({"display_quantity": "0"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
    ],
)
def test_terms_off_the_grid_are_refused(
    changes: dict[str, Any], code: Code, field: str | None
) -> None:
    with pytest.raises(DomainError) as refusal:
        amend_terms(AmendRequest(**changes), RULES)
    assert (refusal.value.code, refusal.value.field) == (code, field)


@pytest.mark.parametrize(
    ("order", "terms", "code"),
    [
        (order_make(**STOP), AmendTerms(price_ticks=1), Code.ORDER_PRICE_FORBIDDEN),
        (order_make(type=OrderType.MARKET), AmendTerms(price_ticks=1), Code.ORDER_PRICE_FORBIDDEN),
        (order_make(), AmendTerms(stop_ticks=1), Code.ORDER_AMEND_NO_TRIGGER),
        (
            order_make(type=OrderType.TRAILING_STOP, status=OrderStatus.WAITING),
            AmendTerms(stop_ticks=1),
            Code.ORDER_AMEND_NO_TRIGGER,
        ),
        (
            order_make(type=OrderType.STOP_LIMIT, status=OrderStatus.OPEN),
            AmendTerms(stop_ticks=1),
            Code.ORDER_AMEND_NO_TRIGGER,
        ),
        (order_make(**STOP), AmendTerms(display_lots=10), Code.ORDER_AMEND_NO_DISPLAY),
        (
            order_make(type=OrderType.STOP_LIMIT, time_in_force=TimeInForce.IOC),
            AmendTerms(display_lots=10),
            Code.ORDER_AMEND_NO_DISPLAY,
        ),
        (order_make(), AmendTerms(display_lots=1_000), Code.ORDER_DISPLAY_INVALID),
        (order_make(), AmendTerms(0, 400, 0, 400), Code.ORDER_DISPLAY_INVALID),
        (order_make(), AmendTerms(display_lots=9), Code.ORDER_DISPLAY_INVALID),
        (
            order_make(display_lots=10),
            AmendTerms(quantity_lots=1_001),
            Code.ORDER_DISPLAY_INVALID,
        ),
    ],
)
def test_a_kind_of_order_that_cannot_take_a_term_is_refused(
    order: AmendedOrder, terms: AmendTerms, code: Code
) -> None:
    with pytest.raises(DomainError) as refusal:
        amend_check(terms, order, RULES)
    assert refusal.value.code is code
    assert refusal.value.field


@pytest.mark.parametrize(
    ("order", "terms"),
    [
        (order_make(), AmendTerms(9_000, 2_000, 0, 20)),
        (order_make(display_lots=10), AmendTerms(quantity_lots=5)),
        (order_make(**STOP), AmendTerms(stop_ticks=9_000, quantity_lots=5)),
        (
            order_make(type=OrderType.TAKE_PROFIT_LIMIT, status=OrderStatus.NEW),
            AmendTerms(9_000, 0, 9_100, 100),
        ),
    ],
)
def test_a_kind_of_order_takes_its_terms(order: AmendedOrder, terms: AmendTerms) -> None:
    amend_check(terms, order, RULES)


def test_a_usual_bound_moves_with_the_stop_price_and_a_named_one_stays() -> None:
    order = order_make(**STOP, stop_ticks=10_000, bound_ticks=9_500)
    assert bound_ticks_after(order, 9_500, 7_600) == 7_600
    assert bound_ticks_after(order, 9_501, 7_600) == 0


@pytest.mark.parametrize(
    ("side", "stop_ticks", "is_refused"),
    [
        (Side.SELL, 9_499, True),
        (Side.SELL, 9_500, False),
        (Side.BUY, 9_500, False),
        (Side.BUY, 9_501, True),
    ],
)
def test_a_stop_price_beyond_a_bound_that_stays_is_refused(
    side: Side, stop_ticks: int, is_refused: bool
) -> None:
    order = order_make(**STOP, side=side, stop_ticks=9_500, bound_ticks=9_500)
    terms = AmendTerms(stop_ticks=stop_ticks)
    if not is_refused:
        bound_check(terms, order, RULES)
        return
    with pytest.raises(DomainError) as refusal:
        bound_check(terms, order, RULES)
    assert (refusal.value.code, refusal.value.field) == (Code.ORDER_BOUND_INVALID, "stop_price")


@pytest.mark.parametrize(
    ("changes", "meets"),
    [
        ({}, True),
        ({"status": OrderStatus.NEW}, True),
        ({"status": OrderStatus.NEW, "is_listed": True}, False),
        ({"status": OrderStatus.WAITING}, False),
        ({"status": OrderStatus.NEW, "type": OrderType.STOP_LIMIT}, False),
        ({"status": OrderStatus.PARTIALLY_FILLED, "type": OrderType.STOP_LIMIT}, True),
    ],
)
def test_only_what_meets_the_book_is_bound_by_the_band(
    changes: dict[str, Any], meets: bool
) -> None:
    assert order_make(**changes).meets_the_book is meets
