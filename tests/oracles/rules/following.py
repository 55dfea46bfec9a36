"""What a step sets off: lists, the last price, bands, triggers, and what comes in next."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import bands, entry, triggers
from tests.oracles.rules.market import ENDED, FILLED, TRADED, Market
from tests.oracles.rules.order import Order, Where


def settle(market: Market) -> None:
    """1.1, 12.8: follow up what happened, then let the next one come in, until nothing is left."""
    follow_up(market)
    while market.coming:
        order = market.coming.popleft()
        if order.is_waiting_over:
            tell_triggered(market, order)
        entry.come_in_late(market, order)
        follow_up(market)


def tell_triggered(market: Market, order: Order) -> None:
    """12.4, 13.7, 19.2: the order comes in now; the other one of an OCO ends first of all."""
    order.is_waiting_over = False
    order.sequence = market.sequence  # its age begins
    market.tell(m.OrderTriggered(order.id, order.account, order.side, order.triggered_by))
    if order.triggered_by:
        order.price = triggers.travelled_bound(order)
        end_sibling(market, order, codes.LIST_OTHER_TRADED)


def follow_up(market: Market) -> None:
    """12.12, 12.13, 19.9: lists, the first price, what is released, the last price, the best."""
    follow_lists(market)
    prices, market.step_trades = market.step_trades, []
    if prices:
        market.last, market.is_last_fresh = prices[-1], True
    if prices:
        triggers.wake_by_last(market, prices[0])
    release_all(market)
    bands.follow(market)
    if prices:
        triggers.wake_by_last(market, prices[-1])
    triggers.wake_by_best(market)


def follow_lists(market: Market) -> None:
    """Look at each piece of news once; note the orders that are released, each by what price."""
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
    """19.2, 19.3: the other order of an OCO is cancelled; what is left is on its own."""
    sibling = order.sibling
    if sibling is None:
        return
    order.sibling = sibling.sibling = None
    if sibling.is_open:
        market.cancel(sibling, code)


def end_children(market: Market, order: Order) -> None:
    """19.8: without a complete fill the first one's end ends what waits for it."""
    children, order.children = order.children, []
    for child in children:
        child.parent = None
        if child.is_open:
            market.cancel(child, codes.LIST_OTHER_ENDED)


def leave_parent(order: Order) -> None:
    """17.8, 19.8: what waited may end alone; an order that releases nothing more is like others."""
    if order.parent is not None and order in order.parent.children:
        order.parent.children.remove(order)


def free_children(order: Order) -> list[Order]:
    """19.7, 19.10: the complete fill releases what waits; a pair is an OCO from now on."""
    children, order.children = [one for one in order.children if one.is_open], []
    for child in children:
        child.parent = None
    if len(children) == 2:
        children[0].sibling, children[1].sibling = children[1], children[0]
    return children


def release_all(market: Market) -> None:
    """12.13: in the order of the fills."""
    released, market.released = market.released, []
    for order, price in released:
        release(market, order, price)


def release(market: Market, order: Order, price: int) -> None:
    """19.9: a trigger begins to watch with this price; another order comes in at its turn."""
    if not order.is_open:
        return
    if order.terms.trigger:
        triggers.watch(market, order, price if market.state == m.OPEN else 0)
        return
    order.where = Where.COMING
    order.is_waiting_over = True
    market.coming.append(order)
