"""orders.validation as tables: which request becomes which draft, and which refusal is first."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.codes import Code
from exchange.domain.enums import OrderType, Side, SymbolState, TimeInForce
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import SymbolUnits, plain
from orders.validation.orders import budget_ticklots, draft_build
from orders.validation.requests import OrderRequest
from orders.validation.values import UNITS_MAX, decimal_parse


def rules_make(**changes: Any) -> SymbolRules:
    """Tick 0.01, lot 0.001, quote scale 6: a tick-lot is 10 atoms."""
    units = SymbolUnits.build(
        symbol_id=1,
        code="BTC-USDT",
        base_asset_id=1,
        quote_asset_id=2,
        base_scale=8,
        quote_scale=6,
        tick=Decimal("0.01"),
        lot=Decimal("0.001"),
    )
    values: dict[str, Any] = {
        "units": units,
        "partition_id": 1,
        "state": SymbolState.OPEN,
        "price_ticks_min": 1,
        "price_ticks_max": 10_000_000,
        "quantity_lots_min": 1,
        "quantity_lots_max": 1_000_000,
        "notional_atoms_min": 1_000_000,
        "band_ppm": 0,
        "slippage_ppm": 50_000,
        "open_orders_max": 0,
        **changes,
    }
    return SymbolRules(**values)


def request_make(**changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "symbol": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "client_order_id": "a",
        "price": "100",
        "quantity": "1",
        **changes,
    }
    return OrderRequest(**values)


def code_of(request: OrderRequest, rules: SymbolRules) -> Code:
    with pytest.raises(DomainError) as refusal:
        draft_build(request, rules)
    return refusal.value.code


def test_limit_order_lands_on_its_grid() -> None:
    draft = draft_build(request_make(price="100.50", quantity="0.05"), rules_make())
    assert (draft.price_ticks, draft.quantity_lots, draft.quote_atoms) == (10_050, 50, 0)
    assert (draft.side, draft.type) == (Side.BUY, OrderType.LIMIT)
    assert draft.time_in_force is TimeInForce.GTC


def test_market_order_is_immediate_by_default() -> None:
    draft = draft_build(request_make(type="market", price=None), rules_make())
    assert draft.time_in_force is TimeInForce.IOC
    assert draft.price_ticks == 0


def test_halt_is_told_before_what_is_wrong_with_the_numbers() -> None:
    rules = rules_make(state=SymbolState.HALT)
    assert code_of(request_make(price="0.001"), rules) is Code.SYMBOL_HALTED


def test_price_is_looked_at_before_quantity() -> None:
    request = request_make(price="0.001", quantity="0.0001")
    assert code_of(request, rules_make()) is Code.ORDER_PRICE_OFF_TICK


@pytest.mark.parametrize(
    ("quantity", "refused"), [("0.009", True), ("0.01", False), ("0.011", False)]
)
def test_minimum_notional_is_inclusive(quantity: str, refused: bool) -> None:
    request = request_make(quantity=quantity)
    if refused:
        assert code_of(request, rules_make()) is Code.ORDER_NOTIONAL_BELOW_MIN
    else:
        draft_build(request, rules_make())


def test_budget_is_whole_ticklots_rounded_down() -> None:
    assert budget_ticklots(1_000_009, rules_make()) == 100_000


def test_nothing_beyond_64_bits_reaches_the_engine() -> None:
    rules = rules_make(price_ticks_max=UNITS_MAX, quantity_lots_max=UNITS_MAX)
    request = request_make(
        type="market", price=None, quantity=None, quote_amount="99999999999999999999"
    )
    assert code_of(request, rules) is Code.ORDER_QUANTITY_ABOVE_MAX


@given(st.decimals(min_value=0, max_value=10**19, places=18))
def test_plain_decimals_survive_parsing(value: Decimal) -> None:
    text = plain(value)
    assert plain(decimal_parse(text, field="price")) == text


@given(st.text(max_size=40))
def test_any_text_is_a_decimal_or_a_refusal(text: str) -> None:
    is_plain = re.fullmatch(r"(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?", text) is not None
    if is_plain and text.isascii():
        assert decimal_parse(text, field="price") == Decimal(text)
    else:
        with pytest.raises(DomainError) as refusal:
            decimal_parse(text, field="price")
        assert refusal.value.code is Code.REQUEST_FIELD_INVALID
