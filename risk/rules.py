"""Rules that need to know the market or the user: pure, given what they need.

Units: prices in ticks, shares in ppm (millionths).
"""

from typing import Final, NamedTuple

from exchange.domain.codes import Code
from exchange.domain.drafts import OrderDraft
from exchange.domain.enums import OrderType, SelfTradePrevention, Side
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import PPM, plain


class Top(NamedTuple):
    """The best prices and the last trade's, in ticks; 0 where there is none."""

    bid_ticks: int
    ask_ticks: int
    last_ticks: int


NO_TOP: Final = Top(0, 0, 0)


def band_ticks(last_ticks: int, band_ppm: int) -> tuple[int, int]:
    """Lowest and highest limit price around the last one, rounded into the band."""
    assert last_ticks > 0
    assert band_ppm >= 0
    low = -(-last_ticks * max(0, PPM - band_ppm) // PPM)
    high = last_ticks * (PPM + band_ppm) // PPM
    return low, high


def band_check(price_ticks: int, rules: SymbolRules, top: Top) -> None:
    """Raise when a limit price is outside the percentage band; without a last price there is none.

    The static limits (price_min, price_max) hold always and are checked by order validation.
    """
    if not rules.band_ppm or not top.last_ticks:
        return
    low, high = band_ticks(top.last_ticks, rules.band_ppm)
    if not low <= price_ticks <= high:
        raise DomainError(
            Code.ORDER_PRICE_OUTSIDE_BAND,
            field="price",
            minimum=plain(rules.units.price(low)),
            maximum=plain(rules.units.price(high)),
        )


def protective_ticks(side: Side, rules: SymbolRules, top: Top) -> int:
    """The worst price a market order may trade at: the best opposite price and the slippage bound.

    Rounded towards the best price, kept inside the static limits. Raises order.no_liquidity when
    there is nothing on the other side.
    """
    best_ticks = top.ask_ticks if side is Side.BUY else top.bid_ticks
    if not best_ticks:
        raise DomainError(Code.ORDER_NO_LIQUIDITY, field="side")
    if side is Side.BUY:
        bound_ticks = best_ticks * (PPM + rules.slippage_ppm) // PPM
    else:
        bound_ticks = -(-best_ticks * max(0, PPM - rules.slippage_ppm) // PPM)
    return min(max(bound_ticks, rules.price_ticks_min), rules.price_ticks_max)


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


def needs_top(draft: OrderDraft, rules: SymbolRules) -> bool:
    """Whether the rules for this order ask for the market's prices at all."""
    return draft.type is OrderType.MARKET or rules.band_ppm > 0
