"""Requests that are valid for each order type, and what a test changes about them."""

from typing import Any, Final

import pytest

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from orders.validation.orders import draft_build
from orders.validation.requests import OrderRequest
from tests.unit.orders.test_validation import rules_make

FUTURE: Final = "2030-01-01T00:00:00Z"

# What each type needs. Lot 0.001, tick 0.01, minimum notional 1 (rules_make).
NEEDED: Final[dict[str, dict[str, Any]]] = {
    "limit": {"price": "100", "quantity": "1"},
    "market": {"quantity": "1"},
    "stop_market": {"stop_price": "90", "quantity": "1"},
    "take_profit": {"stop_price": "110", "quantity": "1"},
    "stop_limit": {"stop_price": "90", "price": "89", "quantity": "1"},
    "take_profit_limit": {"stop_price": "110", "price": "109", "quantity": "1"},
    "trailing_stop": {"trail_amount": "5", "quantity": "1"},
}


def request_of(kind: str, **changes: Any) -> OrderRequest:
    """A sell of this type that is valid but for the changes; None leaves a field out."""
    values = {
        "symbol": "BTC-USDT",
        "side": "sell",
        "client_order_id": "a",
        "type": kind,
        **NEEDED[kind],
        **changes,
    }
    return OrderRequest(**{name: value for name, value in values.items() if value is not None})


def refusal_of(request: OrderRequest, rules: SymbolRules | None = None) -> tuple[Code, str | None]:
    """Code and field of what refuses the request."""
    with pytest.raises(DomainError) as refusal:
        draft_build(request, rules or rules_make())
    assert "(" not in refusal.value.detail, "every value of the text is filled in"
    return refusal.value.code, refusal.value.field
