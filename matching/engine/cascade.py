"""Commands of a symbol with advanced state, and the cascade that each sets off.

A cascade (triggered orders, mass cancels, an auction's matches) is done in steps. After each step
its events are followed up: lists, the last price, bands, triggers. Nothing recurses: a step that
sets off more work puts the work into a queue of the advanced state. A command takes a bounded
number of steps; `ContinueNeeded` then asks for a `Continue`. If another command comes first, all
steps that are left are taken before it. So the events and their order do not depend on where a
cascade was cut.
"""

from typing import Any, Final

import msgspec

from matching.engine import auction, bands, cancels, entry, lists
from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import ALWAYS_MS, ANY_TICKS, LAST, Waiting
from matching.engine.execution import cancelled
from matching.engine.handlers import HANDLERS
from matching.engine.messages import (
    OPEN,
    TRIGGER_NONE,
    Continue,
    ContinueNeeded,
    Event,
    OrderCancelled,
    OrderRepriced,
    OrderTriggered,
    Place,
    Trade,
)
from matching.engine.resting import RestingOrder, incoming
from matching.engine.states import state_refusal
from matching.engine.triggers import best_prices_seen, price_seen
from matching.engine.versions import RULES_MENDED

# Measured: a step is a triggered order, a cancel or an auction's match, 3 to 15 microseconds each.
STEPS_PER_COMMAND_MAX: Final = 100


def apply_advanced(book: Book, command: Any, sequence: int) -> list[Event]:
    """Apply one command of a symbol that has advanced state, or gets it now; return the events."""
    events: list[Event] = []
    advanced = book.advanced
    if advanced is None:
        if type(command) is Continue:
            return events
        advanced = book.advanced = AdvancedState()
    advanced.kept_hash = None
    if type(command) is not Continue:
        if advanced.triggered_live or advanced.cancels or advanced.uncross is not None:
            while advanced.has_work():
                _step(book, advanced, events)
        # A step has the sequence and time of the command that set it off, not of a `Continue`.
        advanced.sequence = sequence
        advanced.now_ms = max(advanced.now_ms, command.time_ms)
        start = len(events)
        HANDLERS[type(command)](book, advanced, command, sequence, events)
        _follow(book, advanced, events, start)
    _work_on(book, advanced, events)
    return events


def follow(book: Book, advanced: AdvancedState, events: list[Event]) -> None:
    """Follow up what a command of the fast path did, and take the steps that it set off."""
    _follow(book, advanced, events, 0)
    # All that it can have set off is a trigger, and all that it can have moved is a band.
    if advanced.triggered_live or advanced.band is not None:
        _work_on(book, advanced, events)


def _work_on(book: Book, advanced: AdvancedState, events: list[Event]) -> None:
    """Take the next steps of the work that is left; open or close the fast path."""
    # Nearly always there is no work. The condition is `has_work`, without the call.
    if advanced.triggered_live or advanced.cancels or advanced.uncross is not None:
        for _ in range(STEPS_PER_COMMAND_MAX):
            if not advanced.has_work():
                break
            _step(book, advanced, events)
        if advanced.has_work():
            events.append(ContinueNeeded(book.symbol_id))
            advanced.fast_until_ms = 0
            return
    _fast_path_set(book, advanced)


def _fast_path_set(book: Book, advanced: AdvancedState) -> None:
    """Set until when and between which prices the fast path is open. There is no work left."""
    until_ms, above_ticks, below_ticks = ALWAYS_MS, 0, ANY_TICKS
    if book.state != OPEN or advanced.at_open:
        until_ms = 0
    elif advanced.band is not None:
        until_ms, above_ticks, below_ticks = bands.at_rest(book, advanced, advanced.band)
    advanced.fast_until_ms = until_ms
    advanced.fast_above_ticks = above_ticks
    advanced.fast_below_ticks = below_ticks


def _step(book: Book, advanced: AdvancedState, events: list[Event]) -> None:
    """Take the next step of a cascade: cancels first, then an auction, then triggered orders."""
    start = len(events)
    sequence = advanced.sequence
    if advanced.cancels:
        cancels.cancel_step(book, advanced, events)
    elif advanced.uncross is not None:
        auction.uncross_step(book, advanced, sequence, events)
    else:
        waiting = advanced.triggered.popleft()
        while advanced.waiting.get(waiting.command.order_id) is not waiting:
            waiting = advanced.triggered.popleft()  # the one before ended while it was queued
        _come_in(book, advanced, waiting, sequence, events)
    _follow(book, advanced, events, start)


def _come_in(
    book: Book, advanced: AdvancedState, waiting: Waiting, sequence: int, events: list[Event]
) -> None:
    """Enter a triggered order as if it was placed now; a refusal cancels it."""
    advanced.drop(waiting)
    place = _without_trigger(waiting)
    order_id = place.order_id
    at_ticks = waiting.at_ticks
    events.append(OrderTriggered(order_id, place.account_id, place.side, at_ticks))
    if at_ticks and order_id in advanced.list_of:
        lists.triggered(book, advanced, order_id, events)
    order = incoming(place, sequence)
    code = state_refusal(book, place) or entry.at_market_refusal(book, advanced, place, order)
    if code is not None:
        if book.rules >= RULES_MENDED:
            order.price_ticks = place.price_ticks  # no event reported another price
        cancelled(order, code, events)
        return
    if order.price_ticks != place.price_ticks:
        events.append(_repriced(place, order))
    entry.run(book, advanced, place, order, events)


def _repriced(place: Place, order: RestingOrder) -> OrderRepriced:
    return OrderRepriced(
        order.order_id,
        order.account_id,
        order.side,
        place.price_ticks,
        order.price_ticks,
        order.left_lots,
    )


def _without_trigger(waiting: Waiting) -> Place:
    place = waiting.command
    if place.terms is None:
        return place
    terms = msgspec.structs.replace(place.terms, trigger=TRIGGER_NONE)
    return msgspec.structs.replace(place, price_ticks=waiting.bound_ticks(), terms=terms)


def _follow(book: Book, advanced: AdvancedState, events: list[Event], start: int) -> None:
    """Follow up the events of one step: lists, times, the last price, bands, triggers."""
    if len(events) > start:
        prices = [event.price_ticks for event in events[start:] if type(event) is Trade]
        released: list[tuple[Waiting, int]] = []
        if advanced.list_of or advanced.expiry_of or advanced.at_open:
            released = _follow_orders(book, advanced, events, start)
        if prices and book.state == OPEN:
            _follow_prices(book, advanced, prices, released, events)
        else:
            for waiting, _ in released:
                lists.release(book, advanced, waiting, events)
    if book.state != OPEN or advanced.uncross is not None:
        return
    if advanced.band is not None:
        bands.reference_follow(book, advanced, events)
        bands.limit_state_follow(book, advanced, events, start)
    if advanced.best_live:
        best_prices_seen(book, advanced)


def _follow_prices(
    book: Book,
    advanced: AdvancedState,
    prices: list[int],
    released: list[tuple[Waiting, int]],
    events: list[Event],
) -> None:
    """Show trade prices to band and waiting orders; released ones see none before their release."""
    first_ticks, last_ticks = prices[0], prices[-1]
    if advanced.band is not None:
        bands.traded(advanced, prices)
    advanced.last_ticks = first_ticks
    advanced.is_last_fresh = True
    if advanced.waiting:
        price_seen(advanced, LAST, first_ticks)
        for waiting, price_ticks in released:
            advanced.last_ticks = price_ticks
            lists.release(book, advanced, waiting, events)
        if last_ticks != first_ticks:
            price_seen(advanced, LAST, last_ticks)
    advanced.last_ticks = last_ticks


def _follow_orders(
    book: Book, advanced: AdvancedState, events: list[Event], start: int
) -> list[tuple[Waiting, int]]:
    """Update lists and expiries after trades and ends.

    Return the orders that trades released, each with the price of its trade.
    """
    released: list[tuple[Waiting, int]] = []
    at = start
    while at < len(events):  # lists append events, which are followed up as well
        event = events[at]
        at += 1
        if type(event) is Trade:
            for order_id, left_lots in (
                (event.maker_order_id, event.maker_left_lots),
                (event.taker_order_id, event.taker_left_lots),
            ):
                if left_lots == 0:
                    _forget(advanced, order_id)
                if order_id in advanced.list_of:
                    one = lists.traded(book, advanced, order_id, left_lots == 0, events)
                    released += [(waiting, event.price_ticks) for waiting in one]
        elif type(event) is OrderCancelled:
            _forget(advanced, event.order_id)
            if event.order_id in advanced.list_of:
                lists.ended(book, advanced, event.order_id, events)
    return released


def _forget(advanced: AdvancedState, order_id: int) -> None:
    if advanced.expiry_of:
        advanced.expiry_drop(order_id)
    if advanced.at_open:
        advanced.at_open_discard(order_id)
