"""Limits on the number of an account's open orders (23)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules.market import GATHERING, Market
from tests.oracles.rules.order import Order, Where

TRAILING_ORDERS_MAX = 2_000


def limits_code(market: Market, order: Order, together: list[Order]) -> str:
    """Return the limit that refuses an order, or ''; its list counts (1.6, 23.1, 23.2, 23.5)."""
    before = together[: together.index(order)]
    there = market.orders + before
    if is_trailing(order) and sum(map(is_trailing, there)) >= TRAILING_ORDERS_MAX:
        return codes.TRAILING_ORDERS_MAX
    if not can_stay(market, order):
        return ""
    open_max, stops_max = limits_of(market, order.account)
    mine = [one for one in there if one.account == order.account and can_stay(market, one)]
    waiting = [one for one in mine if one.is_waiting or (one in before and will_wait(one))]
    if open_max and len(mine) >= open_max:
        return codes.OPEN_ORDERS_MAX
    if stops_max and will_wait(order) and len(waiting) >= stops_max:
        return codes.STOP_ORDERS_MAX
    return ""


def can_stay(market: Market, order: Order) -> bool:
    """Tell whether an order counts: it can stay open, or waits for its auction (23.1)."""
    return order.tif == m.GTC or will_wait(order) or market.state in GATHERING


def will_wait(order: Order) -> bool:
    """Tell whether an order waits for a trigger or for its parent (23.2)."""
    return order.terms.trigger != m.TRIGGER_NONE or order.parent is not None


def is_trailing(order: Order) -> bool:
    """Tell whether an order is a trailing stop that is new or waits (23.2)."""
    is_new = order.where is Where.COMING
    return order.terms.trigger == m.TRIGGER_TRAILING and (is_new or order.is_waiting)


def limits_of(market: Market, account: int) -> tuple[int, int]:
    """Return the account's own limits, else those of everyone; 0 is no limit (23.3)."""
    everyone = market.limits.get(m.ALL_ACCOUNTS, (0, 0))
    return market.limits.get(account, everyone)
