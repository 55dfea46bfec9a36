"""Rules that need to know the market or the user: pure, given what they need.

Units: prices in ticks, shares in ppm (millionths).
"""

from typing import Final, NamedTuple

from exchange.domain.codes import Code
from exchange.domain.enums import OrderType, SelfTradePrevention, Side, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import PPM, plain
from risk.pretrade.drafts import OrderDraft


class Top(NamedTuple):
    """The best prices, the last trade's, and what the band stands around; in ticks, 0: none."""

    bid_ticks: int
    ask_ticks: int
    last_ticks: int
    reference_ticks: int = 0


NO_TOP: Final = Top(0, 0, 0)
# In these a limit order meets the book when it comes in; elsewhere no band bounds it.
_MEETING: Final = frozenset({SymbolState.OPEN, SymbolState.POST_ONLY})


def band_ticks(reference_ticks: int, band_ppm: int) -> tuple[int, int]:
    """Lowest and highest price of the band around a reference, rounded into it."""
    assert reference_ticks > 0
    assert band_ppm >= 0
    low = max(1, -(-reference_ticks * max(0, PPM - band_ppm) // PPM))
    high = reference_ticks * (PPM + band_ppm) // PPM
    return low, high


def is_banded(rules: SymbolRules) -> bool:
    """Whether a limit order that comes in now is bound by a band."""
    return rules.band_ppm > 0 and rules.state in _MEETING


def band_check(side: Side, price_ticks: int, rules: SymbolRules, top: Top) -> None:
    """Raise when a limit would pay more, or take less, than the band allows (rule 22.1).

    Its other side is free, unless the symbol's band binds both. Without a reference and without a
    last price there is no band. The static limits (price_min, price_max) hold always and are
    checked by order validation.
    """
    reference_ticks = top.reference_ticks or top.last_ticks
    if not rules.band_ppm or not reference_ticks:
        return
    low, high = band_ticks(reference_ticks, rules.band_ppm)
    is_worse = price_ticks > high if side is Side.BUY else price_ticks < low
    if is_worse or (rules.band_both_sides and not low <= price_ticks <= high):
        raise DomainError(
            Code.ORDER_PRICE_OUTSIDE_BAND,
            field="price",
            minimum=plain(rules.units.price(low)),
            maximum=plain(rules.units.price(high)),
        )


def best_opposite_ticks(side: Side, top: Top) -> int:
    """The best price that an order would trade with, or 0."""
    return top.ask_ticks if side is Side.BUY else top.bid_ticks


def start_ticks(draft: OrderDraft, top: Top) -> int:
    """The price that a market order's usual bound counts from, or 0 where it is not known.

    The best opposite price for what trades at once, else the stop price: a trailing one as it
    would stand at its activation price, or now.
    """
    if draft.type is OrderType.MARKET:
        return best_opposite_ticks(draft.side, top)
    terms = draft.terms
    assert terms is not None
    if draft.type is not OrderType.TRAILING_STOP:
        return terms.stop_ticks
    from_ticks = terms.activation_ticks or top.last_ticks
    if not from_ticks:
        return 0
    distance_ticks = terms.trail_ticks or max(1, from_ticks * terms.trail_ppm // PPM)
    if draft.side is Side.BUY:
        return from_ticks + distance_ticks
    return max(1, from_ticks - distance_ticks)


def slipped_ticks(side: Side, from_ticks: int, rules: SymbolRules) -> int:
    """The worst price within the symbol's slippage bound of a price.

    Rounded towards that price, kept inside the static limits.
    """
    assert from_ticks > 0
    if side is Side.BUY:
        bound_ticks = from_ticks * (PPM + rules.slippage_ppm) // PPM
    else:
        bound_ticks = -(-from_ticks * max(0, PPM - rules.slippage_ppm) // PPM)
    return min(max(bound_ticks, rules.price_ticks_min), rules.price_ticks_max)


def protective_ticks(side: Side, rules: SymbolRules, top: Top) -> int:
    """The worst price a market order may trade at: the best opposite price and the slippage bound.

    Raises order.no_liquidity when there is nothing on the other side.
    """
    best_ticks = best_opposite_ticks(side, top)
    if not best_ticks:
        raise DomainError(Code.ORDER_NO_LIQUIDITY, field="side")
    return slipped_ticks(side, best_ticks, rules)


def self_trade_check(draft: OrderDraft, *, may_self_trade: bool) -> None:
    """Raise when the order switches self-trade prevention off and its user's tier may not."""
    if draft.self_trade is SelfTradePrevention.NONE and not may_self_trade:
        raise DomainError(Code.ORDER_STP_NOT_ALLOWED, field="self_trade_prevention")


def user_check(*, is_suspended: bool) -> None:
    """Raise when the user may not trade."""
    if is_suspended:
        raise DomainError(Code.ACCOUNT_SUSPENDED)


def open_orders_check(open_orders: int, limit: int, symbol: str) -> None:
    """Raise when one more order would pass the cap of this user and symbol; 0 is no cap."""
    if limit and open_orders >= limit:
        raise DomainError(Code.RISK_OPEN_ORDERS_MAX, limit=limit, symbol=symbol)


def needs_top(draft: OrderDraft, rules: SymbolRules, *, is_pending: bool) -> bool:
    """Whether the rules for this order ask for the market's prices at all.

    A pending order waits for another one of its list: it does not meet the book now.
    """
    if draft.type is OrderType.LIMIT:
        return not is_pending and is_banded(rules)
    if draft.type is OrderType.TRAILING_STOP:
        assert draft.terms is not None
        return not draft.terms.activation_ticks
    return draft.type is OrderType.MARKET
