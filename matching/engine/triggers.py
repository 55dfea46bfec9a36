"""Triggers: the orders that a price triggers, their sequence, and the stops that trail a price."""

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import ASK, BID, DOWN, LAST, UP, RankedId, Waiting, is_trailing
from matching.engine.messages import BUY, OPEN, PPM, Event, OrderWaiting


def start_watching(
    book: Book, advanced: AdvancedState, waiting: Waiting, events: list[Event]
) -> None:
    """Start to watch an order's price; trigger the order at once if the price is already there."""
    terms = waiting.terms
    waiting.stop_ticks = terms.stop_ticks
    advanced.watch(waiting)
    price_ticks = _price_of(book, advanced, waiting.source)
    if price_ticks and is_trailing(terms):
        _follow(waiting, price_ticks)
    command = waiting.command
    events.append(
        OrderWaiting(command.order_id, command.account_id, command.side, waiting.stop_ticks)
    )
    if price_ticks and is_reached(waiting, price_ticks):
        advanced.unwatch(waiting)
        advanced.trigger([waiting], price_ticks)


def _price_of(book: Book, advanced: AdvancedState, source: int) -> int:
    """Return the present price of a source, or 0; a price from before a halt does not count."""
    if book.state != OPEN:
        return 0
    if source == LAST:
        return advanced.last_ticks if advanced.is_last_fresh else 0
    return (book.best_bid() if source == BID else book.best_ask()) or 0


def is_reached(waiting: Waiting, price_ticks: int) -> bool:
    """Return whether a price reaches the order's present stop price."""
    if not waiting.stop_ticks:
        return False
    return (price_ticks - waiting.stop_ticks) * waiting.direction >= 0


def _follow(waiting: Waiting, price_ticks: int) -> None:
    """Move a trailing stop after the best price since its activation; activate it if reached."""
    terms = waiting.terms
    # A sell follows the price up, a buy follows it down.
    favour = -1 if waiting.command.side == BUY else 1
    is_active = waiting.mark_ticks or not terms.activation_ticks
    if not is_active and (price_ticks - terms.activation_ticks) * favour < 0:
        return
    waiting.mark_ticks = price_ticks
    distance_ticks = terms.trail_ticks or max(1, price_ticks * terms.trail_ppm // PPM)
    # A sell with a distance above the price has stop 0, which no price reaches: the least is 1.
    waiting.stop_ticks = max(0, price_ticks - favour * distance_ticks)


def price_seen(advanced: AdvancedState, source: int, price_ticks: int) -> None:
    """Trigger all orders that a price reaches, the farthest stop price first, then by age."""
    rising = advanced.triggers[source, UP].pop_to(price_ticks)
    falling = advanced.triggers[source, DOWN].pop_to(-price_ticks)
    trailed = _trailing_reached(advanced, source, price_ticks) if advanced.trailing[source] else []
    reached = rising or falling  # either is sorted already
    if trailed or (rising and falling):
        # Rank minus price is the distance below zero: the farthest sorts first.
        reached = [(rank - price_ticks, age, one) for rank, age, one in rising]
        reached += [(rank + price_ticks, age, one) for rank, age, one in falling]
        reached = sorted(reached + trailed)
    if reached:
        waiting = advanced.waiting
        advanced.best_live -= len(reached) if source != LAST else 0
        advanced.trigger([waiting[order_id] for _, _, order_id in reached], price_ticks)


def _trailing_reached(advanced: AdvancedState, source: int, price_ticks: int) -> list[RankedId]:
    """Move the trailing stops of a source after a price; remove and return the reached ones."""
    reached: list[RankedId] = []
    trailing = advanced.trailing[source]
    for order_id, waiting in trailing.items():
        mark_ticks = waiting.mark_ticks
        is_buy = waiting.command.side == BUY
        if not mark_ticks or (price_ticks < mark_ticks if is_buy else price_ticks > mark_ticks):
            _follow(waiting, price_ticks)  # a stop that follows is not reached
            continue
        stop_ticks = waiting.stop_ticks
        if price_ticks >= stop_ticks if is_buy else price_ticks <= stop_ticks:
            reached.append((-abs(price_ticks - stop_ticks), waiting.priority, order_id))
    for _, _, order_id in reached:
        del trailing[order_id]
    return reached


def best_prices_seen(book: Book, advanced: AdvancedState) -> None:
    """Trigger the orders that watch the best bid or the best ask."""
    bid, ask = book.best_bid(), book.best_ask()
    if bid is not None:
        price_seen(advanced, BID, bid)
    if ask is not None:
        price_seen(advanced, ASK, ask)
