"""Stops, take-profits and trailing stops: what they watch and what triggers them (12, 13)."""

from matching.engine import messages as m
from tests.oracles.rules.market import Market, other
from tests.oracles.rules.order import Order, Where


def watch(market: Market, order: Order, released_by: int | None = None) -> None:
    """12.1, 12.6, 13.3, 19.9: wait outside the book from now on; what is reached triggers at once.

    An order that a fill released sees that trade's price first, and nothing from before.
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
    """12.5, 12.9, 20.5: return the price that may trigger the order now; 0 where there is none."""
    if market.state != m.OPEN:
        return 0
    if order.terms.source == m.SOURCE_BEST:
        return market.best(other(order.side))
    return market.last if market.is_last_fresh else 0


def follow(order: Order, price: int) -> None:
    """13.1-13.3: a trailing stop follows the price in the order's favour, never back."""
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
        # No price reaches a stop of 0: the distance is more than the price.
        order.stop = max(0, price - distance) if is_sell else price + distance


def is_reached(order: Order, price: int) -> bool:
    """12.2, 12.3, 13.4: tell whether this price triggers the order."""
    if order.terms.trigger == m.TRIGGER_TRAILING and not order.best_seen:
        return False
    is_take = order.terms.trigger == m.TRIGGER_TAKE
    wakes_above = (order.side == m.BUY) != is_take
    return price >= order.stop if wakes_above else price <= order.stop


def trigger(market: Market, order: Order, price: int) -> None:
    """12.8: the order is triggered once, and comes in behind those that were triggered before."""
    order.where = Where.COMING
    order.is_waiting_over, order.triggered_by = True, price
    market.coming.append(order)


def travelled_bound(order: Order) -> int:
    """13.7: the bound of a trailing market order goes with its stop price, never to the worse."""
    share = order.terms.bound_ppm
    if not (order.is_market and share and order.terms.trigger == m.TRIGGER_TRAILING):
        return order.price
    if order.side == m.BUY:
        return min(order.price, order.stop * (1_000_000 + share) // 1_000_000)
    return max(order.price, -(order.stop * (share - 1_000_000) // 1_000_000), 1)


def wake_by_last(market: Market, price: int) -> None:
    """12.2, 20.5: a trade's price, while the symbol is open."""
    if market.state == m.OPEN:
        wake_by_price(market, price, watching(market, m.SOURCE_LAST, (m.BUY, m.SELL)))


def wake_by_best(market: Market) -> None:
    """12.9, 12.13: what the best buy triggers, then what the best sell triggers."""
    for side in (m.BUY, m.SELL):
        price = market.best(side)
        if price and market.state == m.OPEN:
            wake_by_price(market, price, watching(market, m.SOURCE_BEST, (other(side),)))


def watching(market: Market, source: int, sides: tuple[int, ...]) -> list[Order]:
    """Return the orders of these sides that watch this price."""
    return [
        order
        for order in market.orders
        if order.where is Where.WATCHING and order.terms.source == source and order.side in sides
    ]


def wake_by_price(market: Market, price: int, orders: list[Order]) -> None:
    """12.7: show one price to those that watch it; trigger the farthest first, then the older."""
    for order in orders:
        follow(order, price)
    reached = [order for order in orders if is_reached(order, price)]
    for order in sorted(reached, key=lambda one: (-abs(one.stop - price), one.age)):
        trigger(market, order, price)
