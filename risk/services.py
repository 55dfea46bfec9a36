"""Pre-trade risk for one order: the rules of risk/rules.py with what they need to know."""

from dataclasses import replace
from typing import Final

from exchange.domain.codes import Code
from exchange.domain.drafts import OrderDraft
from exchange.domain.enums import OrderType
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from risk.rules import (
    NO_TOP,
    Top,
    band_check,
    needs_top,
    protective_ticks,
    self_trade_check,
    user_check,
)
from risk.selectors import TopUnavailable, top_of_book

_NOT_ASKED: Final = NO_TOP


def draft_check(
    draft: OrderDraft, rules: SymbolRules, *, is_suspended: bool, may_self_trade: bool
) -> OrderDraft:
    """The draft with its protective price, or the refusal of the first rule it breaks.

    Without Redis the market's prices are not known: limit orders then pass without the percentage
    band (the static limits still hold), market orders are refused, for they would be unbounded.
    """
    user_check(is_suspended=is_suspended)
    self_trade_check(draft, may_self_trade=may_self_trade)
    top = _top(draft, rules)
    if draft.type is OrderType.LIMIT:
        band_check(draft.price_ticks, rules, top)
        return draft
    bounded = replace(draft, price_ticks=protective_ticks(draft.side, rules, top))
    _market_size_check(bounded, rules)
    return bounded


def price_check(price_ticks: int, rules: SymbolRules) -> None:
    """Raise when an amended price is outside the band."""
    if rules.band_ppm:
        try:
            band_check(price_ticks, rules, top_of_book(rules.units.code))
        except TopUnavailable:
            return


def _top(draft: OrderDraft, rules: SymbolRules) -> Top:
    if not needs_top(draft, rules):
        return _NOT_ASKED
    try:
        return top_of_book(rules.units.code)
    except TopUnavailable as error:
        if draft.type is OrderType.MARKET:
            raise DomainError(Code.ENGINE_UNAVAILABLE) from error
        return _NOT_ASKED


def _market_size_check(draft: OrderDraft, rules: SymbolRules) -> None:
    """A market order by quantity must be worth the minimum at its protective price."""
    if not draft.quantity_lots:
        return
    notional_atoms = rules.units.notional_atoms(draft.price_ticks, draft.quantity_lots)
    if notional_atoms < rules.notional_atoms_min:
        raise DomainError(
            Code.ORDER_NOTIONAL_BELOW_MIN,
            field="quantity",
            minimum=f"{rules.units.quote_decimal(rules.notional_atoms_min).normalize():f}",
        )
