"""Pre-trade risk of one order: reads the top of book and applies the rules of pretrade/rules.py."""

from msgspec.structs import replace

from exchange.domain.codes import Code
from exchange.domain.enums import LIMIT_TYPES, OrderType, Side
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import PPM, plain
from risk.pretrade.drafts import OrderDraft
from risk.pretrade.rules import (
    NO_TOP,
    Top,
    band_check,
    is_banded,
    needs_top,
    self_trade_check,
    slipped_ticks,
    start_ticks,
    user_check,
)
from risk.pretrade.selectors import TopUnavailable, top_of_book


def draft_check(
    draft: OrderDraft,
    rules: SymbolRules,
    *,
    is_suspended: bool,
    may_self_trade: bool,
    is_pending: bool = False,
) -> OrderDraft:
    """Return the draft with its protective price. Raises DomainError of the first rule it breaks.

    `is_pending`: the order waits for its parent's fill. Without Redis the market's prices are
    unknown. A limit order then passes without the band (the static limits still hold), and an order
    that has no bound without these prices is refused with engine.unavailable.
    """
    user_check(is_suspended=is_suspended)
    self_trade_check(draft, may_self_trade=may_self_trade)
    if draft.type in LIMIT_TYPES:
        if needs_top(draft, rules, is_pending=is_pending):
            price_check(draft.side, draft.price_ticks, rules)
        return draft
    top = _top(draft, rules, is_pending)
    from_ticks = start_ticks(draft, top)
    bound_ticks = draft.price_ticks
    if not bound_ticks:
        bound_ticks = _usual_bound(draft, from_ticks, rules)
        draft = _bound_travels(draft, rules)
    _size_check(draft, bound_ticks, from_ticks or top.last_ticks, rules)
    reference_ticks = from_ticks if draft.type is OrderType.MARKET else 0
    return replace(draft, price_ticks=bound_ticks, reference_ticks=reference_ticks)


def price_check(side: Side, price_ticks: int, rules: SymbolRules) -> None:
    """Raise order.price_outside_band for a limit that enters now; without Redis it passes."""
    if not is_banded(rules):
        return
    try:
        band_check(side, price_ticks, rules, top_of_book(rules.units.code))
    except TopUnavailable:
        return


def _top(draft: OrderDraft, rules: SymbolRules, is_pending: bool) -> Top:
    if not needs_top(draft, rules, is_pending=is_pending):
        return NO_TOP
    try:
        return top_of_book(rules.units.code)
    except TopUnavailable as error:
        if not draft.price_ticks:
            raise DomainError(Code.ENGINE_UNAVAILABLE) from error
        return NO_TOP


def _usual_bound(draft: OrderDraft, from_ticks: int, rules: SymbolRules) -> int:
    if not from_ticks:
        is_trailing = draft.type is OrderType.TRAILING_STOP
        field = "activation_price" if is_trailing else "side"
        raise DomainError(Code.ORDER_NO_LIQUIDITY, field=field)
    return slipped_ticks(draft.side, from_ticks, rules)


def _bound_travels(draft: OrderDraft, rules: SymbolRules) -> OrderDraft:
    """Let the usual bound of a trailing stop follow its stop price."""
    if draft.type is not OrderType.TRAILING_STOP or draft.terms is None:
        return draft
    # At least one millionth, which is rounded to the stop price: 0 would mean a fixed bound.
    bound_ppm = min(max(1, rules.slippage_ppm), PPM - 1)
    return replace(draft, terms=replace(draft.terms, bound_ppm=bound_ppm))


def _size_check(draft: OrderDraft, bound_ticks: int, from_ticks: int, rules: SymbolRules) -> None:
    """Raise order.notional_below_min if a market order is worth less than the minimum.

    A buy is valued at its bound, a sell at its starting price: a sell's bound may be far below the
    prices at which it trades. An order by quote amount is not checked here.
    """
    if not draft.quantity_lots:
        return
    price_ticks = bound_ticks if draft.side is Side.BUY else from_ticks or bound_ticks
    notional_atoms = rules.units.notional_atoms(price_ticks, draft.quantity_lots)
    if notional_atoms < rules.notional_atoms_min:
        minimum = plain(rules.units.quote_decimal(rules.notional_atoms_min))
        raise DomainError(Code.ORDER_NOTIONAL_BELOW_MIN, field="quantity", minimum=minimum)
