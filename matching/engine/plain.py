"""Plain orders: what each command does to a book whose advanced state has no say in it.

`PLAIN_HANDLERS` has one function for each command type. A function may assert, because impossible
input is a bug, but only before its first change to the book. A command that needs advanced state
goes on to matching/engine/cascade.py.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, get_args

from matching.engine import amends
from matching.engine.amends import needs_snapshot
from matching.engine.book import Book
from matching.engine.cascade import apply_advanced
from matching.engine.execution import cancelled, end_of, fillable, take, take_for_budget
from matching.engine.handlers import fault_refusal
from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    BY_CANCEL_ALL,
    BY_USER,
    CLOSED,
    DUPLICATE_ORDER_ID,
    FOK,
    FOK_UNFILLABLE,
    GTC,
    HALT,
    IOC,
    IOC_REST,
    MARKET_REST,
    NOT_OPEN,
    OPEN,
    POST_ONLY_WOULD_TAKE,
    SELF_TRADE,
    SELL,
    SYMBOL_HALTED,
    Amend,
    Cancel,
    CancelAfter,
    CancelAll,
    Command,
    CommandRefused,
    Continue,
    Event,
    Expire,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    Place,
    PlaceList,
    RefuseFaulty,
    SetBand,
    SetFeature,
    SetLimits,
    SetState,
    StateChanged,
)
from matching.engine.resting import RestingOrder

# Cancels of one account on a symbol without advanced state; measured: 1 microsecond each.
CANCELS_AT_ONCE_MAX: Final = 2_000


def place(book: Book, command: Place, sequence: int) -> list[Event]:
    """Enter one order, or reject it."""
    order_id = command.order_id
    side = command.side
    price_ticks = command.price_ticks
    assert price_ticks > 0
    assert side == BUY or side == SELL  # `in` would build a tuple for each order
    if command.terms is not None:
        return apply_advanced(book, command, sequence)
    if book.state != OPEN:
        return [OrderRejected(order_id, command.account_id, SYMBOL_HALTED)]
    if order_id in book.orders:
        return [OrderRejected(order_id, command.account_id, DUPLICATE_ORDER_ID)]
    quantity_lots = command.quantity_lots
    order = RestingOrder(
        order_id,
        command.account_id,
        side,
        price_ticks,
        quantity_lots,
        quantity_lots,
        sequence,
        command.post_only,
        command.self_trade,
        command.group_id,
        command.owner_tag,
    )
    opposite = book.sides[side][1]
    keys = opposite.keys
    if command.time_in_force != GTC or (keys and keys[-1] >= price_ticks * opposite.sign):
        return _place_taking(book, command, order)
    # The common case: nothing to trade with, so all lots rest.
    assert quantity_lots > 0
    assert not command.market
    book.add(order)
    return [OrderAccepted(order_id, command.account_id, side, price_ticks, quantity_lots)]


def _place_taking(book: Book, command: Place, order: RestingOrder) -> list[Event]:
    """Place an order that meets a price it accepts, or that may not rest."""
    by_budget = command.budget_ticklots > 0
    assert (order.quantity_lots == 0) if by_budget else (order.quantity_lots > 0)
    assert command.market or not by_budget
    assert command.time_in_force == IOC or not command.market
    assert command.time_in_force == GTC or not command.post_only
    if command.post_only:
        return [OrderRejected(order.order_id, order.account_id, POST_ONLY_WOULD_TAKE)]
    if command.time_in_force == FOK and not fillable(book, order):
        return [OrderRejected(order.order_id, order.account_id, FOK_UNFILLABLE)]
    events: list[Event] = [
        OrderAccepted(
            order.order_id,
            order.account_id,
            order.side,
            order.price_ticks,
            order.quantity_lots,
        )
    ]
    if by_budget:
        code = take_for_budget(book, order, command.budget_ticklots, events)
        cancelled(order, code, events)
    elif take(book, order, events):
        cancelled(order, SELF_TRADE, events)
    elif order.left_lots:
        if command.time_in_force == GTC:
            book.add(order)
        else:
            assert command.time_in_force == IOC, "a fillable FOK has no rest"
            cancelled(order, MARKET_REST if command.market else IOC_REST, events)
    return events


def cancel(book: Book, command: Cancel, sequence: int) -> list[Event]:
    """End one order of the book, or refuse."""
    order_id = command.order_id
    order = book.orders.get(order_id)
    if order is None:
        return [CommandRefused(command.command_id, order_id, NOT_OPEN)]
    book.remove(order)
    # The same as `end_of`, inlined: a cancel is the most frequent command.
    return [
        OrderCancelled(
            order_id,
            order.account_id,
            order.side,
            order.price_ticks,
            order.left_lots + order.hidden_lots,
            BY_USER,
        )
    ]


def amend(book: Book, command: Amend, sequence: int) -> list[Event]:
    """Give an open order new terms, or refuse."""
    if needs_snapshot(command, book.rules):
        return apply_advanced(book, command, sequence)
    events: list[Event] = []
    amends.amend(book, command, sequence, events)
    return events


def _cancel_all(book: Book, command: CancelAll, sequence: int) -> list[Event]:
    account_id = command.account_id
    if account_id == ALL_ACCOUNTS:
        return apply_advanced(book, command, sequence)  # piece by piece
    accounts = book.by_account()
    if accounts.count_of(account_id) > CANCELS_AT_ONCE_MAX:
        return apply_advanced(book, command, sequence)
    assert command.side in (-1, BUY, SELL)
    orders = [
        order
        for order in accounts.orders_of(account_id)
        if command.side in (-1, order.side) and command.owner_tag in (0, order.owner_tag)
    ]
    orders.sort(key=attrgetter("priority", "order_id"))
    for order in orders:
        book.remove(order)
    return [end_of(order, BY_CANCEL_ALL) for order in orders]


def _set_state(book: Book, command: SetState, sequence: int) -> list[Event]:
    assert OPEN <= command.state <= CLOSED
    if command.state not in (OPEN, HALT):
        return apply_advanced(book, command, sequence)
    book.state = command.state
    return [StateChanged(book.symbol_id, command.state)]


def _refuse_faulty(book: Book, command: RefuseFaulty, sequence: int) -> list[Event]:
    return [fault_refusal(command)]


PLAIN_HANDLERS: Final[dict[type[Any], Callable[[Book, Any, int], list[Event]]]] = {
    Place: place,
    Cancel: cancel,
    Amend: amend,
    CancelAll: _cancel_all,
    SetState: _set_state,
    RefuseFaulty: _refuse_faulty,
    **dict.fromkeys(
        (PlaceList, Expire, CancelAfter, Continue, SetFeature, SetBand, SetLimits), apply_advanced
    ),
}
assert set(PLAIN_HANDLERS) == set(get_args(Command)), "a command without a handler fails at import"
