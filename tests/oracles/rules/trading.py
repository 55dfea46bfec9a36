"""Matching of an incoming order with the other side (2, 3, 4, 6, 9, 14, 17)."""

import copy

from matching.engine import messages as m
from matching.engine.codes import BAND_REST
from tests.oracles.rules import bands
from tests.oracles.rules.market import FILLED, TRADED, Market
from tests.oracles.rules.order import Order


def take(market: Market, taker: Order) -> str:
    """Trade with the front of the queue while the price allows; return why the rest ends, or ''.

    2.1-2.3, 3.1, 6.1, 6.3-6.5, 9.1-9.4, 17.9, 22.2, 22.9.
    """
    bound = bands.bound_of(market, taker)
    lost_last = False  # whether prevention, not a trade, took the last lots
    while taker.left or taker.is_by_quote:
        maker = market.front(taker)
        if taker.is_by_quote and taker.budget == 0 and lost_last:
            return m.SELF_TRADE  # 17.9
        if maker is None or not within(taker.side, bands.trade_price(market, maker), bound):
            return _nothing_more(taker, maker)
        price = bands.trade_price(market, maker)
        lots = min(taker.budget // price if taker.is_by_quote else taker.left, maker.shown)
        if lots == 0:
            return m.SELF_TRADE if lost_last else m.BUDGET_SPENT  # 6.4, 17.9
        lost_last = taker.is_own_of(maker) and taker.mode != m.STP_NONE  # 9.1, 9.4
        if not lost_last:
            beyond = maker.price if price != maker.price else 0  # 22.9: the maker's own price
            trade(market, maker, taker, price, lots, beyond)
        elif _prevent(market, taker, maker, price, lots):
            return m.SELF_TRADE
        else:
            lost_last = taker.mode == m.STP_DECREMENT
    return ""


def within(side: int, price: int, bound: int) -> bool:
    """Tell whether a price is within the bound (24.5)."""
    return price <= bound if side == m.BUY else price >= bound


def _nothing_more(taker: Order, maker: Order | None) -> str:
    """Return why the taker's rest ends, or '' (4.1, 6.2, 6.4, 6.5, 22.2, 22.9)."""
    if not taker.is_market:
        return m.IOC_REST if taker.tif == m.IOC else ""
    if taker.is_by_quote and taker.budget == 0:
        return m.BUDGET_SPENT
    if maker is not None and taker.accepts(maker.price):
        return BAND_REST  # its bound accepts the front, the band does not
    return m.MARKET_REST


def trade(
    market: Market, maker: Order, taker: Order, price: int, lots: int, beyond: int = 0
) -> None:
    """Trade one match (2.3, 2.4); an iceberg shows its next part (14.2, 14.3)."""
    maker.left -= lots
    maker.shown -= lots
    _spend(taker, price, lots)
    market.tell(
        m.Trade(
            maker.id,
            taker.id,
            maker.account,
            taker.account,
            taker.side,
            price,
            lots,
            maker.left,
            taker.left,
            beyond,
        )
    )
    if market.follows_prices:
        market.step_trades.append(price)
    if market.band.width_ppm:
        market.band.trades.append((market.now_ms, price))  # 22.4
    for order in (maker, taker):
        is_filled = order.left == 0 and not order.is_by_quote
        market.news.append((FILLED if is_filled else TRADED, order, price))
    after_loss(market, maker)


def after_loss(market: Market, order: Order) -> None:
    """Remove a resting order without lots, or show an iceberg's next part at the back (14.3)."""
    if order.left == 0:
        market.remove(order)
    elif order.shown == 0:
        market.rest(order)
        hidden = order.left - order.shown
        market.tell(m.OrderRefreshed(order.id, order.account, order.shown, hidden))


def _spend(taker: Order, price: int, lots: int) -> None:
    if taker.is_by_quote:
        taker.budget -= price * lots
    else:
        taker.left -= lots


def _prevent(market: Market, taker: Order, maker: Order, price: int, lots: int) -> bool:
    """Apply self-trade prevention; return if the taker ends (9.1, 17.1-17.4, 17.7, 17.8)."""
    mode = taker.mode
    if mode == m.STP_DECREMENT and maker.children:
        mode = m.STP_CANCEL_INCOMING  # 17.8
    is_default = taker.mode == m.STP_CANCEL_INCOMING
    if not is_default or m.FEATURE_REPORT_PREVENTED in market.features:  # 17.7
        market.tell(
            m.SelfTradePrevented(
                maker.id,
                taker.id,
                maker.account,
                taker.account,
                taker.side,
                price,
                lots,
                mode,
            )
        )
    if mode in (m.STP_CANCEL_RESTING, m.STP_CANCEL_BOTH):
        market.cancel(maker, m.SELF_TRADE)
    if mode == m.STP_DECREMENT:
        return _decrement(market, taker, maker, price, lots)
    return mode != m.STP_CANCEL_RESTING


def _decrement(market: Market, taker: Order, maker: Order, price: int, lots: int) -> bool:
    """Take the smaller quantity off both; return whether the incoming order ends (17.3)."""
    if maker.left == lots:
        market.cancel(maker, m.SELF_TRADE)
    else:
        _shrink_maker(market, maker, lots)
    if taker.is_by_quote:
        taker.budget -= price * lots  # a quote amount shrinks by the value
        return False
    if taker.left == lots:
        return True
    before = taker.left
    taker.left -= lots
    taker.total -= lots
    tell_amended(market, taker, taker.price, before, is_kept=False)
    return False


def _shrink_maker(market: Market, maker: Order, lots: int) -> None:
    """Take lots off the maker, which keeps its place; of an iceberg only the shown part (17.3)."""
    before = maker.left
    maker.left -= lots
    maker.total -= lots
    maker.shown -= lots
    tell_amended(market, maker, maker.price, before, is_kept=maker.shown > 0)
    after_loss(market, maker)


def tell_amended(
    market: Market, order: Order, old_price: int, old_left: int, *, is_kept: bool
) -> None:
    """Tell of an order's new terms."""
    market.tell(
        m.OrderAmended(
            order.id,
            order.account,
            order.side,
            old_price,
            old_left,
            order.price,
            order.total,
            order.left,
            is_kept,
            order.terms.stop_ticks if order.is_waiting else 0,
            order.terms.display_lots,
        )
    )


def is_fillable(market: Market, order: Order) -> bool:
    """Tell whether a fill-or-kill order fills, by trying it on a copy (4.2-4.4, 14.5, 17.6)."""
    trial, taker = copy.deepcopy((market, order))
    if taker.mode in (m.STP_CANCEL_BOTH, m.STP_DECREMENT):
        taker.mode = m.STP_CANCEL_INCOMING  # liquidity ends at the first own order
    take(trial, taker)
    return taker.left == 0
