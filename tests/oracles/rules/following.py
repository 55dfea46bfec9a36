"""The cascade of a step: lists, the last price, bands, triggers, and orders that enter next."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import bands, entry, triggers
from tests.oracles.rules.market import ENDED, FILLED, TRADED, Market
from tests.oracles.rules.order import Order, Where


def settle(market: Market) -> None:
    """Follow up, then let the next order enter, until none is left (1.1, 12.8)."""
    follow_up(market)
    while market.coming:
        order = market.coming.popleft()
        if order.is_waiting_over:
            tell_triggered(market, order)
        entry.come_in_late(market, order)
        follow_up(market)


def tell_triggered(market: Market, order: Order) -> None:
    """Tell that an order enters; the other order of an OCO ends before it (12.4, 13.7, 19.2)."""
    order.is_waiting_over = False
    order.sequence = market.sequence  # its age begins
    market.tell(m.OrderTriggered(order.id, order.account, order.side, order.triggered_by))
    if order.triggered_by:
        order.price = triggers.travelled_bound(order)
        end_sibling(market, order, codes.LIST_OTHER_TRADED)


def follow_up(market: Market) -> None:
    """Follow lists, first price, releases, last price, best prices (12.12, 12.13, 19.9)."""
    follow_lists(market)
    prices, market.step_trades = market.step_trades, []
    if prices:
        market.last, market.is_last_fresh = prices[-1], True
    if prices:
        triggers.show_last_price(market, prices[0])
    release_all(market)
    bands.follow(market)
    if prices:
        triggers.show_last_price(market, prices[-1])
    triggers.show_best_prices(market)


def follow_lists(market: Market) -> None:
    """Handle each change that concerns a list; record released orders with the fill's price."""
    while market.news:
        what, order, price = market.news.popleft()
        if what in (TRADED, FILLED):
            end_sibling(market, order, codes.LIST_OTHER_TRADED)  # 19.2
        if what == FILLED:
            market.released += [(child, price) for child in free_children(order)]
        if what == ENDED:
            end_sibling(market, order, codes.LIST_OTHER_ENDED)  # 19.3
            end_children(market, order)
            leave_parent(order)


def end_sibling(market: Market, order: Order, code: str) -> None:
    """Cancel the other order of an OCO; this order is then no longer linked (19.2, 19.3)."""
    sibling = order.sibling
    if sibling is None:
        return
    order.sibling = sibling.sibling = None
    if sibling.is_open:
        market.cancel(sibling, code)


def end_children(market: Market, order: Order) -> None:
    """End the children of a parent that ended without a complete fill (19.8)."""
    children, order.children = order.children, []
    for child in children:
        child.parent = None
        if child.is_open:
            market.cancel(child, codes.LIST_OTHER_ENDED)


def leave_parent(order: Order) -> None:
    """Remove an ended child from its parent; without any that is plain (17.8, 19.8)."""
    if order.parent is not None and order in order.parent.children:
        order.parent.children.remove(order)


def free_children(order: Order) -> list[Order]:
    """Return the children that a complete fill releases; two become an OCO (19.7, 19.10)."""
    children, order.children = [one for one in order.children if one.is_open], []
    for child in children:
        child.parent = None
    if len(children) == 2:
        children[0].sibling, children[1].sibling = children[1], children[0]
    return children


def release_all(market: Market) -> None:
    """Release orders in the order of the fills (12.13)."""
    released, market.released = market.released, []
    for order, price in released:
        release(market, order, price)


def release(market: Market, order: Order, price: int) -> None:
    """Let a released order watch from this price, or without trigger enter in its turn (19.9)."""
    if not order.is_open:
        return
    if order.terms.trigger:
        triggers.watch(market, order, price if market.state == m.OPEN else 0)
        return
    order.where = Where.COMING
    order.is_waiting_over = True
    market.coming.append(order)
