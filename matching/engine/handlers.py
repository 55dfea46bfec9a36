"""Handlers of a symbol with advanced state: what each command does before its cascade runs."""

from collections.abc import Callable
from typing import Any, Final

from matching.engine import amends, auction, bands, cancels, entry, lists
from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.codes import FEATURE_UNKNOWN
from matching.engine.messages import (
    ALL_ACCOUNTS,
    AUCTION_CUTOFF,
    ENGINE_FAULT,
    FEATURE_HALT_KEEPS_ORDERS,
    FEATURES,
    HALT,
    SYMBOL_HALTED,
    Amend,
    Cancel,
    CancelAfter,
    CancelAll,
    CommandDone,
    CommandRefused,
    Event,
    Expire,
    OrderRejected,
    Place,
    PlaceList,
    RefuseFaulty,
    SetBand,
    SetFeature,
    SetLimits,
    SetState,
)
from matching.engine.states import STATE_CODES


def _cancel_refusal(book: Book, advanced: AdvancedState) -> str | None:
    if book.state == AUCTION_CUTOFF:
        return STATE_CODES[AUCTION_CUTOFF]
    if book.state == HALT and FEATURE_HALT_KEEPS_ORDERS in advanced.features:
        return SYMBOL_HALTED
    return None


def _cancel(
    book: Book, advanced: AdvancedState, command: Cancel, sequence: int, events: list[Event]
) -> None:
    code = _cancel_refusal(book, advanced)
    if code is not None and (
        command.order_id in book.orders or command.order_id in advanced.waiting
    ):
        events.append(CommandRefused(command.command_id, command.order_id, code))
        return
    cancels.cancel(book, advanced, command, events)


def _cancel_all(
    book: Book, advanced: AdvancedState, command: CancelAll, sequence: int, events: list[Event]
) -> None:
    code = _cancel_refusal(book, advanced)
    if code is not None and command.account_id != ALL_ACCOUNTS:
        events.append(CommandRefused(command.command_id, 0, code))
        return
    cancels.cancel_all(book, advanced, command)


def _amend(
    book: Book, advanced: AdvancedState, command: Amend, sequence: int, events: list[Event]
) -> None:
    amends.amend(book, command, sequence, events)


def _set_state(
    book: Book, advanced: AdvancedState, command: SetState, sequence: int, events: list[Event]
) -> None:
    auction.set_state(book, advanced, command, events)


def _expire(
    book: Book, advanced: AdvancedState, command: Expire, sequence: int, events: list[Event]
) -> None:
    cancels.expire(book, advanced, command, events)
    if command.order_id == 0:
        state = bands.phase_next(book, advanced, events)
        if state is not None:
            auction.move(book, advanced, state, events)


def _cancel_after(
    book: Book, advanced: AdvancedState, command: CancelAfter, sequence: int, events: list[Event]
) -> None:
    book.by_account()  # the firing needs it: building it is cheapest in a new book
    cancels.cancel_after(book, advanced, command, events)


def _set_feature(
    book: Book, advanced: AdvancedState, command: SetFeature, sequence: int, events: list[Event]
) -> None:
    if command.feature not in FEATURES:
        events.append(CommandRefused(command.command_id, 0, FEATURE_UNKNOWN))
        return
    if command.is_on:
        advanced.features.add(command.feature)
    else:
        advanced.features.discard(command.feature)
    events.append(CommandDone(command.command_id, book.symbol_id))


def _set_band(
    book: Book, advanced: AdvancedState, command: SetBand, sequence: int, events: list[Event]
) -> None:
    bands.set_band(book, advanced, command, events)
    events.append(CommandDone(command.command_id, book.symbol_id))


def _set_limits(
    book: Book, advanced: AdvancedState, command: SetLimits, sequence: int, events: list[Event]
) -> None:
    assert command.open_orders_max >= 0
    assert command.stop_orders_max >= 0
    book.by_account()  # each order needs it
    advanced.limits_set(command.account_id, command.open_orders_max, command.stop_orders_max)
    events.append(CommandDone(command.command_id, book.symbol_id))


def _refuse_faulty(
    book: Book, advanced: AdvancedState, command: RefuseFaulty, sequence: int, events: list[Event]
) -> None:
    events.append(fault_refusal(command))


def fault_refusal(command: RefuseFaulty) -> Event:
    """Return the refusal of a command on which the engine raised."""
    if command.is_place:
        return OrderRejected(command.order_id, 0, ENGINE_FAULT)
    return CommandRefused(command.command_id, command.order_id, ENGINE_FAULT)


HANDLERS: Final[dict[type[Any], Callable[[Book, AdvancedState, Any, int, list[Event]], None]]] = {
    Place: entry.place,
    Cancel: _cancel,
    Amend: _amend,
    CancelAll: _cancel_all,
    SetState: _set_state,
    RefuseFaulty: _refuse_faulty,
    PlaceList: lists.place_list,
    Expire: _expire,
    CancelAfter: _cancel_after,
    SetFeature: _set_feature,
    SetBand: _set_band,
    SetLimits: _set_limits,
}
