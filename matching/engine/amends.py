"""Amends of an open order: price, total quantity, displayed quantity, stop price."""

from typing import Final

import msgspec

from matching.engine import bands
from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.codes import AMEND_NO_DISPLAY, AMEND_NO_TRIGGER, PRICE_OUTSIDE_BAND
from matching.engine.components import Waiting
from matching.engine.execution import cancelled, take
from matching.engine.messages import (
    AMEND_BELOW_FILLED,
    AUCTION,
    NO_PRIORITY_KEPT,
    NOT_OPEN,
    OPEN,
    POST_ONLY,
    POST_ONLY_WOULD_TAKE,
    PRE_OPEN,
    SELF_TRADE,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    Amend,
    CommandRefused,
    Event,
    OrderAmended,
)
from matching.engine.resting import RestingOrder
from matching.engine.states import GATHERING, STATE_CODES
from matching.engine.triggers import start_watching
from matching.engine.versions import RULES_MENDED

_AMENDING: Final = frozenset({OPEN, POST_ONLY, PRE_OPEN, AUCTION})


def amend(book: Book, command: Amend, sequence: int, events: list[Event]) -> None:
    """Give an open order new terms, or refuse and leave the order exactly as it is."""
    assert command.price_ticks >= 0
    assert command.quantity_lots >= 0
    order_id = command.order_id
    order = book.orders.get(order_id)
    if order is None:
        advanced = book.advanced
        waiting = advanced.waiting.get(order_id) if advanced is not None else None
        if advanced is None or waiting is None:
            _refuse(command, NOT_OPEN, events)
        else:
            _amend_waiting(book, advanced, waiting, command, sequence, events)
        return
    price_ticks = command.price_ticks or order.price_ticks
    quantity_lots = command.quantity_lots or order.quantity_lots
    display_lots = command.display_lots or order.display_lots
    assert display_lots >= 0
    old_left_lots = order.left_lots + order.hidden_lots
    left_lots = old_left_lots + quantity_lots - order.quantity_lots
    code = _refusal(book, order, command, price_ticks, left_lots)
    if code is not None:
        _refuse(command, code, events)
        return
    events.append(
        OrderAmended(
            order_id,
            order.account_id,
            order.side,
            order.price_ticks,
            old_left_lots,
            price_ticks,
            quantity_lots,
            left_lots,
            command.keep_priority,
            0,
            display_lots,
        )
    )
    if command.keep_priority:
        _shrink(book, order, old_left_lots - left_lots)
        order.quantity_lots = quantity_lots
        return
    book.remove(order)
    order.price_ticks = price_ticks
    order.quantity_lots = quantity_lots
    order.left_lots = left_lots
    order.hidden_lots = 0
    order.display_lots = display_lots
    order.priority = sequence
    order.since = 0
    advanced = book.advanced
    edge_ticks = 0 if advanced is None else bands.edge_passed(book, advanced, order.side)
    if book.state == OPEN and take(book, order, events, edge_ticks):
        cancelled(order, SELF_TRADE, events)
    elif not order.left_lots:
        return
    elif display_lots:
        book.add_sliced(order)
    else:
        book.add(order)


def _refuse(command: Amend, code: str, events: list[Event]) -> None:
    events.append(CommandRefused(command.command_id, command.order_id, code))


def _shrink(book: Book, order: RestingOrder, lots: int) -> None:
    """Take lots off an order that keeps its place: hidden lots first, then shown lots."""
    hidden_lots = min(lots, order.hidden_lots)
    if hidden_lots:
        level = order.level
        assert level is not None
        order.hidden_lots -= hidden_lots
        level.hidden_lots -= hidden_lots
    if lots > hidden_lots:
        book.reduce(order, lots - hidden_lots)


def _refusal(
    book: Book, order: RestingOrder, command: Amend, price_ticks: int, left_lots: int
) -> str | None:
    state = book.state
    if state not in _AMENDING:
        return STATE_CODES[state]
    if command.stop_ticks:
        return AMEND_NO_TRIGGER
    if command.display_lots and _ends_with_auction(book, order):
        return AMEND_NO_DISPLAY
    if left_lots <= 0:
        return AMEND_BELOW_FILLED
    if command.keep_priority:
        if command.display_lots or price_ticks != order.price_ticks:
            return NO_PRIORITY_KEPT
        return None if left_lots < order.left_lots + order.hidden_lots else NO_PRIORITY_KEPT
    if (order.post_only or state == POST_ONLY) and state not in GATHERING:
        opposite = book.sides[order.side][1]
        if opposite.keys and opposite.keys[-1] >= price_ticks * opposite.sign:
            return POST_ONLY_WOULD_TAKE
    advanced = book.advanced
    if advanced is None or not command.price_ticks or state in GATHERING:
        return None
    is_refused = bands.is_outside(advanced, order.side, price_ticks) or bands.is_barred(
        book, order.side, price_ticks, bands.edge_passed(book, advanced, order.side)
    )
    return PRICE_OUTSIDE_BAND if is_refused else None


def needs_snapshot(command: Amend, rules: int) -> bool:
    """Return whether an amend gives a resting order a term that rows alone cannot restore."""
    return command.display_lots != 0 and rules >= RULES_MENDED


def _ends_with_auction(book: Book, order: RestingOrder) -> bool:
    advanced = book.advanced
    return (
        advanced is not None and order.order_id in advanced.at_open and book.rules >= RULES_MENDED
    )


def _amend_waiting(
    book: Book,
    advanced: AdvancedState,
    waiting: Waiting,
    command: Amend,
    sequence: int,
    events: list[Event],
) -> None:
    place = waiting.command
    code = _waiting_refusal(book, waiting, command)
    if code is not None:
        _refuse(command, code, events)
        return
    assert command.stop_ticks >= 0
    assert command.display_lots >= 0
    terms = waiting.terms
    new_place = msgspec.structs.replace(
        place,
        price_ticks=command.price_ticks or place.price_ticks,
        quantity_lots=command.quantity_lots or place.quantity_lots,
        terms=msgspec.structs.replace(
            terms,
            stop_ticks=command.stop_ticks or terms.stop_ticks,
            display_lots=command.display_lots or terms.display_lots,
        ),
    )
    assert new_place.terms is not None
    events.append(
        OrderAmended(
            place.order_id,
            place.account_id,
            place.side,
            place.price_ticks,
            place.quantity_lots,
            new_place.price_ticks,
            new_place.quantity_lots,
            new_place.quantity_lots,
            False,
            new_place.terms.stop_ticks,
            new_place.terms.display_lots,
        )
    )
    is_watching = waiting.stage != 0
    advanced.unwatch(waiting)
    waiting.command = new_place
    waiting.priority = sequence
    if not is_watching:
        return
    if command.stop_ticks:
        start_watching(book, advanced, waiting, events)
    else:
        advanced.watch(waiting)


def _waiting_refusal(book: Book, waiting: Waiting, command: Amend) -> str | None:
    state = book.state
    if state not in _AMENDING:
        return STATE_CODES[state]
    terms = waiting.terms
    if command.stop_ticks and terms.trigger not in (TRIGGER_STOP, TRIGGER_TAKE):
        return AMEND_NO_TRIGGER
    place = waiting.command
    if command.display_lots and (place.market or place.time_in_force != 0):
        return AMEND_NO_DISPLAY
    if command.keep_priority or (command.quantity_lots and place.budget_ticklots):
        return NO_PRIORITY_KEPT
    return None
