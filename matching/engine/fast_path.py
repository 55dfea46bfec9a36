"""The fast path of a symbol with advanced state: commands in which that state has no say.

Such a command goes the way of a plain book (matching/engine/plain.py), and what it traded is
followed up. After each other command matching/engine/cascade.py sets until when, and between which
prices, plain commands may come this way. Where any test here fails, the command takes the way
that is always right; so both ways give the same events and leave the same state.
"""

from collections.abc import Callable
from typing import Any, Final

from matching.engine import amends, plain
from matching.engine.book import Book
from matching.engine.cascade import apply_advanced, follow
from matching.engine.entry import limit_refusal
from matching.engine.messages import GTC, Amend, Cancel, Event, Place


def _place(book: Book, command: Place, sequence: int) -> list[Event]:
    advanced = book.advanced
    assert advanced is not None
    time_ms = command.time_ms
    if (
        time_ms >= advanced.fast_until_ms
        or not advanced.fast_above_ticks < command.price_ticks < advanced.fast_below_ticks
        or command.terms is not None
        or command.order_id in advanced.waiting
        or (
            advanced.limits
            and command.time_in_force == GTC
            and limit_refusal(book, advanced, command) is not None
        )
    ):
        return apply_advanced(book, command, sequence)
    advanced.sequence = sequence
    if time_ms > advanced.now_ms:
        advanced.now_ms = time_ms
    events = plain.place(book, command, sequence)
    if len(events) > 1 or advanced.best_live:
        follow(book, advanced, events)
    return events


def _cancel(book: Book, command: Cancel, sequence: int) -> list[Event]:
    advanced = book.advanced
    assert advanced is not None
    order_id, time_ms = command.order_id, command.time_ms
    if (
        time_ms >= advanced.fast_until_ms
        or order_id in advanced.waiting
        or order_id in advanced.expiry_of
        or order_id in advanced.list_of
    ):
        return apply_advanced(book, command, sequence)
    advanced.sequence = sequence
    if time_ms > advanced.now_ms:
        advanced.now_ms = time_ms
    events = plain.cancel(book, command, sequence)
    if advanced.best_live:
        follow(book, advanced, events)
    return events


def _amend(book: Book, command: Amend, sequence: int) -> list[Event]:
    advanced = book.advanced
    assert advanced is not None
    price_ticks, time_ms = command.price_ticks, command.time_ms
    if (
        time_ms >= advanced.fast_until_ms
        or command.order_id in advanced.waiting
        # At its own price (0) an order changes nothing that a band looks at.
        or (price_ticks and not advanced.fast_above_ticks < price_ticks < advanced.fast_below_ticks)
    ):
        return apply_advanced(book, command, sequence)
    advanced.sequence = sequence
    if time_ms > advanced.now_ms:
        advanced.now_ms = time_ms
    events: list[Event] = []
    amends.amend(book, command, sequence, events)
    if len(events) > 1 or advanced.best_live:
        follow(book, advanced, events)
    return events


ADVANCED_HANDLERS: Final[dict[type[Any], Callable[[Book, Any, int], list[Event]]]] = {
    **dict.fromkeys(plain.PLAIN_HANDLERS, apply_advanced),
    Place: _place,
    Cancel: _cancel,
    Amend: _amend,
}
