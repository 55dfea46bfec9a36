"""Stops, take-profits and trailing stops: the prices they watch, and their triggers (12, 13)."""

from matching.engine import messages as m
from tests.oracles.rules.market import Market, other
from tests.oracles.rules.order import Order, Where


def watch(market: Market, order: Order, released_by: int | None = None) -> None:
    """Let an order watch from now on; a reached trigger acts at once (12.1, 12.6, 13.3, 19.9).

    `released_by` is the price of the fill that released the order: the first price that it sees.
    """
    order.where = Where.WATCHING
    order.place, order.place_sequence = market.next_place(), market.sequence
    if order.terms.source == m.SOURCE_BEST or released_by is None:
        price = watched_price(market, order)
    else:
        price = released_by
    if price:
        follow(order, price)
    market.tell(m.OrderWaiting(order.id, order.account, order.side, order.stop))
    if price and is_reached(order, price):
        trigger(market, order, price)


def watched_price(market: Market, order: Order) -> int:
    """Return the price that may trigger the order now, 0 without one (12.5, 12.9, 20.5)."""
    if market.state != m.OPEN:
        return 0
    if order.terms.source == m.SOURCE_BEST:
        return market.best(other(order.side))
    return market.last if market.is_last_fresh else 0


def follow(order: Order, price: int) -> None:
    """Move a trailing stop with a price in the order's favour, never back (13.1-13.3)."""
    terms = order.terms
    if terms.trigger != m.TRIGGER_TRAILING:
        return
    is_sell = order.side == m.SELL
    if not order.best_seen and terms.activation_ticks:
        begins = price >= terms.activation_ticks if is_sell else price <= terms.activation_ticks
        if not begins:
            return
    if not order.best_seen or (price > order.best_seen if is_sell else price < order.best_seen):
        order.best_seen = price
        distance = terms.trail_ticks or max(1, price * terms.trail_ppm // 1_000_000)
        # A distance above the price gives a stop of 0, which no price reaches.
        order.stop = max(0, price - distance) if is_sell else price + distance


def is_reached(order: Order, price: int) -> bool:
    """Tell whether this price triggers the order (12.2, 12.3, 13.4)."""
    if order.terms.trigger == m.TRIGGER_TRAILING and not order.best_seen:
        return False
    is_take = order.terms.trigger == m.TRIGGER_TAKE
    triggers_above = (order.side == m.BUY) != is_take
    return price >= order.stop if triggers_above else price <= order.stop


def trigger(market: Market, order: Order, price: int) -> None:
    """Trigger an order; it enters after the orders triggered before it (12.8)."""
    order.where = Where.COMING
    order.is_waiting_over, order.triggered_by = True, price
    market.coming.append(order)


def travelled_bound(order: Order) -> int:
    """Return the bound of an order; a trailing one's moves with its stop, never to worse (13.7)."""
    share = order.terms.bound_ppm
    if not (order.is_market and share and order.terms.trigger == m.TRIGGER_TRAILING):
        return order.price
    if order.side == m.BUY:
        return min(order.price, order.stop * (1_000_000 + share) // 1_000_000)
    return max(order.price, -(order.stop * (share - 1_000_000) // 1_000_000), 1)


def show_last_price(market: Market, price: int) -> None:
    """Show a trade's price to the orders that watch it, while the symbol is open (12.2, 20.5)."""
    if market.state == m.OPEN:
        show_price(market, price, watching(market, m.SOURCE_LAST, (m.BUY, m.SELL)))


def show_best_prices(market: Market) -> None:
    """Show the best bid, then the best ask, to the orders that watch them (12.9, 12.13)."""
    for side in (m.BUY, m.SELL):
        price = market.best(side)
        if price and market.state == m.OPEN:
            show_price(market, price, watching(market, m.SOURCE_BEST, (other(side),)))


def watching(market: Market, source: int, sides: tuple[int, ...]) -> list[Order]:
    """Return the orders of these sides that watch this price."""
    return [
        order
        for order in market.orders
        if order.where is Where.WATCHING and order.terms.source == source and order.side in sides
    ]


def show_price(market: Market, price: int, orders: list[Order]) -> None:
    """Show a price to these orders; trigger the farthest stop first, then the older (12.7)."""
    for order in orders:
        follow(order, price)
    reached = [order for order in orders if is_reached(order, price)]
    for order in sorted(reached, key=lambda one: (-abs(one.stop - price), one.age)):
        trigger(market, order, price)
