"""How many orders an account may have (23)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules.market import GATHERING, Market
from tests.oracles.rules.order import Order, Where

TRAILING_ORDERS_MAX = 2_000


def limits_code(market: Market, order: Order, together: list[Order]) -> str:
    """1.6, 23.1, 23.2, 23.5: those of its list before it count in."""
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
    """23.1: what cannot stay open is not counted; what waits for its auction is."""
    return order.tif == m.GTC or will_wait(order) or market.state in GATHERING


def will_wait(order: Order) -> bool:
    """23.2: for a trigger, or for the first order of its list."""
    return order.terms.trigger != m.TRIGGER_NONE or order.parent is not None


def is_trailing(order: Order) -> bool:
    """23.2: trailing stops that wait, for whatever."""
    is_new = order.where is Where.COMING
    return order.terms.trigger == m.TRIGGER_TRAILING and (is_new or order.is_waiting)


def limits_of(market: Market, account: int) -> tuple[int, int]:
    """23.3: an account's own limits go before those of everyone; 0 is no limit."""
    everyone = market.limits.get(m.ALL_ACCOUNTS, (0, 0))
    return market.limits.get(account, everyone)
