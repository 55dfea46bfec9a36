"""Pre-trade rules that need the market or the user. Pure: the caller passes both.

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
    """Best bid, best ask, last price and the band's reference of a symbol, in ticks; 0: none."""

    bid_ticks: int
    ask_ticks: int
    last_ticks: int
    reference_ticks: int = 0


NO_TOP: Final = Top(0, 0, 0)
# States in which a limit order can trade as it enters; in other states no band bounds its price.
_MEETING: Final = frozenset({SymbolState.OPEN, SymbolState.POST_ONLY})


def band_ticks(reference_ticks: int, band_ppm: int) -> tuple[int, int]:
    """Return the band's lowest and highest price around a reference, rounded into the band."""
    assert reference_ticks > 0
    assert band_ppm >= 0
    low = max(1, -(-reference_ticks * max(0, PPM - band_ppm) // PPM))
    high = reference_ticks * (PPM + band_ppm) // PPM
    return low, high


def is_banded(rules: SymbolRules) -> bool:
    """Return whether a band bounds a limit order that enters now."""
    return rules.band_ppm > 0 and rules.state in _MEETING


def band_check(side: Side, price_ticks: int, rules: SymbolRules, top: Top) -> None:
    """Raise order.price_outside_band for a limit that is worse than the band allows (rule 22.1).

    A buy is worse above the band, a sell below. The better side is free, unless the symbol's band
    binds both sides. Without a reference and without a last price there is no band. Order
    validation checks the static limits (price_min, price_max) in every case.
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
    """Return the best price of the opposite side in ticks, or 0."""
    return top.ask_ticks if side is Side.BUY else top.bid_ticks


def start_ticks(draft: OrderDraft, top: Top) -> int:
    """Return the price from which a market order's usual bound is computed, or 0 if unknown.

    A market order starts from the best opposite price, a stop or take-profit from its stop price,
    and a trailing stop from the stop that follows from its activation price or the last price.
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
    """Return the worst price within the symbol's slippage bound of a price.

    The result is rounded towards that price and kept inside the static limits.
    """
    assert from_ticks > 0
    if side is Side.BUY:
        bound_ticks = from_ticks * (PPM + rules.slippage_ppm) // PPM
    else:
        bound_ticks = -(-from_ticks * max(0, PPM - rules.slippage_ppm) // PPM)
    return min(max(bound_ticks, rules.price_ticks_min), rules.price_ticks_max)


def self_trade_check(draft: OrderDraft, *, may_self_trade: bool) -> None:
    """Raise ORDER_STP_NOT_ALLOWED if the order has no self-trade prevention without the right."""
    if draft.self_trade is SelfTradePrevention.NONE and not may_self_trade:
        raise DomainError(Code.ORDER_STP_NOT_ALLOWED, field="self_trade_prevention")


def user_check(*, is_suspended: bool) -> None:
    """Raise account.suspended if the user is suspended."""
    if is_suspended:
        raise DomainError(Code.ACCOUNT_SUSPENDED)


def open_orders_check(open_orders: int, limit: int, symbol: str) -> None:
    """Raise risk.open_orders_max if one more order would pass the limit; 0: no limit."""
    if limit and open_orders >= limit:
        raise DomainError(Code.RISK_OPEN_ORDERS_MAX, limit=limit, symbol=symbol)


def needs_top(draft: OrderDraft, rules: SymbolRules, *, is_pending: bool) -> bool:
    """Return whether the rules for this order need the market's prices.

    A pending order waits for its parent's fill, so its limit is not checked against the band now.
    """
    if draft.type is OrderType.LIMIT:
        return not is_pending and is_banded(rules)
    if draft.type is OrderType.TRAILING_STOP:
        assert draft.terms is not None
        return not draft.terms.activation_ticks
    return draft.type is OrderType.MARKET
