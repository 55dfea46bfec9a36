"""The matching engine: commands in, events out. Pure, integer, deterministic.

The same commands give the same events in any process: no clock, no chance, no I/O, no dependence
on hash order. The rules are numbered in matching/README.md.

Each command type has one function here, found by type: a new command is a new entry in `_HANDLERS`.
A function may assert (impossible input is a bug), but only before its first change to the book; a
caller that sees the engine raise must still discard it and restore.
"""

from collections.abc import Callable, Iterable
from typing import Any, get_args

from matching.book import Book, RestingOrder
from matching.messages import (
    AMEND_BELOW_FILLED,
    AMEND_WOULD_TAKE,
    BUY,
    BY_CANCEL_ALL,
    BY_USER,
    DUPLICATE_ORDER_ID,
    ENGINE_FAULT,
    FOK,
    FOK_UNFILLABLE,
    GTC,
    HALT,
    IOC,
    IOC_REST,
    MARKET_REST,
    NO_PRIORITY_KEPT,
    NOT_OPEN,
    OPEN,
    POST_ONLY_WOULD_TAKE,
    SELF_TRADE,
    SELL,
    SYMBOL_HALTED,
    Amend,
    Cancel,
    CancelAll,
    Command,
    CommandRefused,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    Place,
    RefuseFaulty,
    SetState,
    StateChanged,
)
from matching.taking import fillable, take, take_for_budget


class Engine:
    """Books of one partition, and the count of commands applied to them."""

    __slots__ = ("books", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self.books: dict[int, Book] = {}

    def apply(self, command: Command) -> list[Event]:
        """Apply one command and return what happened, in order.

        An exception means a bug: the engine's state is then unknown and it must be discarded.
        """
        book = self.books.get(command.symbol_id)
        if book is None:
            book = self.book(command.symbol_id)
        sequence = self.sequence + 1
        events: list[Event] = []
        _HANDLERS[type(command)](book, command, sequence, events)
        self.sequence = sequence
        return events

    def book(self, symbol_id: int) -> Book:
        """Return the symbol's book; an unknown symbol gets an empty one, open for trading."""
        book = self.books.get(symbol_id)
        if book is None:
            book = self.books[symbol_id] = Book(symbol_id)
        return book

    def restore(self, symbol_id: int, state: int, orders: Iterable[RestingOrder]) -> None:
        """Fill an empty book with the orders that were open, given by ascending priority.

        The caller sets `sequence` to that of the checkpoint.
        """
        assert state in (OPEN, HALT)
        book = self.book(symbol_id)
        assert not book.orders
        book.state = state
        priority = 0
        for order in orders:
            assert order.priority > priority
            priority = order.priority
            book.add(order)

    def check(self) -> None:
        """Assert every invariant of every book. O(orders): for tests and snapshots."""
        for symbol_id, book in self.books.items():
            assert book.symbol_id == symbol_id
            book.check()
            assert all(0 < order.priority <= self.sequence for order in book.orders.values())


def _place(book: Book, command: Place, sequence: int, events: list[Event]) -> None:
    order_id = command.order_id
    account_id = command.account_id
    side = command.side
    price_ticks = command.price_ticks
    assert price_ticks > 0
    assert BUY <= side <= SELL
    if book.state != OPEN:
        events.append(OrderRejected(order_id, account_id, SYMBOL_HALTED))
        return
    if order_id in book.orders:
        events.append(OrderRejected(order_id, account_id, DUPLICATE_ORDER_ID))
        return
    quantity_lots = command.quantity_lots
    order = RestingOrder(
        order_id,
        account_id,
        side,
        price_ticks,
        quantity_lots,
        quantity_lots,
        sequence,
        command.post_only,
        command.self_trade,
    )
    opposite = book.sides[side][1]
    keys = opposite.keys
    if command.time_in_force != GTC or (keys and keys[-1] >= price_ticks * opposite.sign):
        _place_taking(book, command, order, events)
        return
    # The common case: nothing to trade with, so all of it rests.
    assert quantity_lots > 0
    assert not command.market
    events.append(OrderAccepted(order_id, account_id, side, price_ticks, quantity_lots))
    book.add(order)


def _place_taking(book: Book, command: Place, order: RestingOrder, events: list[Event]) -> None:
    """Place an order that meets a price it accepts, or that may not rest."""
    by_budget = command.budget_ticklots > 0
    assert (order.quantity_lots == 0) if by_budget else (order.quantity_lots > 0)
    assert command.market or not by_budget
    assert command.time_in_force == IOC or not command.market
    assert command.time_in_force == GTC or not command.post_only
    if command.post_only:
        events.append(OrderRejected(order.order_id, order.account_id, POST_ONLY_WOULD_TAKE))
        return
    if command.time_in_force == FOK and not fillable(book, order):
        events.append(OrderRejected(order.order_id, order.account_id, FOK_UNFILLABLE))
        return
    events.append(
        OrderAccepted(
            order.order_id,
            order.account_id,
            order.side,
            order.price_ticks,
            order.quantity_lots,
        )
    )
    if by_budget:
        _cancelled(
            order,
            take_for_budget(book, order, command.budget_ticklots, events),
            events,
        )
        return
    if take(book, order, events):
        _cancelled(order, SELF_TRADE, events)
    elif order.left_lots:
        if command.time_in_force == GTC:
            book.add(order)
        else:
            assert command.time_in_force == IOC, "a fillable FOK has no rest"
            _cancelled(order, MARKET_REST if command.market else IOC_REST, events)


def _amend(book: Book, command: Amend, sequence: int, events: list[Event]) -> None:
    assert command.price_ticks >= 0
    assert command.quantity_lots >= 0
    order = book.orders.get(command.order_id)
    if order is None:
        events.append(CommandRefused(command.command_id, command.order_id, NOT_OPEN))
        return
    price_ticks = command.price_ticks or order.price_ticks
    quantity_lots = command.quantity_lots or order.quantity_lots
    code = _amend_refusal(book, order, price_ticks, quantity_lots, command.keep_priority)
    if code is not None:
        events.append(CommandRefused(command.command_id, command.order_id, code))
        return
    old_price_ticks, old_left_lots = order.price_ticks, order.left_lots
    left_lots = old_left_lots + quantity_lots - order.quantity_lots
    events.append(
        OrderAmended(
            order.order_id,
            order.account_id,
            order.side,
            old_price_ticks,
            old_left_lots,
            price_ticks,
            quantity_lots,
            left_lots,
            command.keep_priority,
        )
    )
    if command.keep_priority:
        book.reduce(order, old_left_lots - left_lots)
        order.quantity_lots = quantity_lots
        return
    book.remove(order)
    order.price_ticks = price_ticks
    order.quantity_lots = quantity_lots
    order.left_lots = left_lots
    order.priority = sequence
    if take(book, order, events):
        _cancelled(order, SELF_TRADE, events)
    elif order.left_lots:
        book.add(order)


def _amend_refusal(
    book: Book,
    order: RestingOrder,
    price_ticks: int,
    quantity_lots: int,
    keep_priority: bool,
) -> str | None:
    if book.state != OPEN:
        return SYMBOL_HALTED
    if quantity_lots <= order.quantity_lots - order.left_lots:
        return AMEND_BELOW_FILLED
    if keep_priority:
        is_reduction = price_ticks == order.price_ticks and quantity_lots < order.quantity_lots
        return None if is_reduction else NO_PRIORITY_KEPT
    if order.post_only:
        opposite = book.sides[order.side][1]
        if opposite.keys and opposite.keys[-1] >= price_ticks * opposite.sign:
            return AMEND_WOULD_TAKE
    return None


def _cancel(book: Book, command: Cancel, sequence: int, events: list[Event]) -> None:
    order = book.orders.get(command.order_id)
    if order is None:
        events.append(CommandRefused(command.command_id, command.order_id, NOT_OPEN))
        return
    book.remove(order)
    _cancelled(order, BY_USER, events)


def _cancel_all(book: Book, command: CancelAll, sequence: int, events: list[Event]) -> None:
    assert command.side in (-1, BUY, SELL)
    owned = book.by_account.get(command.account_id, {})
    orders = [order for order in owned.values() if command.side in (-1, order.side)]
    for order in orders:
        book.remove(order)
        _cancelled(order, BY_CANCEL_ALL, events)


def _set_state(book: Book, command: SetState, sequence: int, events: list[Event]) -> None:
    assert command.state in (OPEN, HALT)
    book.state = command.state
    events.append(StateChanged(book.symbol_id, command.state))


def _refuse_faulty(book: Book, command: RefuseFaulty, sequence: int, events: list[Event]) -> None:
    if command.is_place:
        events.append(OrderRejected(command.order_id, 0, ENGINE_FAULT))
    else:
        events.append(CommandRefused(command.command_id, command.order_id, ENGINE_FAULT))


_HANDLERS: dict[type[Any], Callable[[Book, Any, int, list[Event]], None]] = {
    Place: _place,
    Cancel: _cancel,
    Amend: _amend,
    CancelAll: _cancel_all,
    SetState: _set_state,
    RefuseFaulty: _refuse_faulty,
}
assert set(_HANDLERS) == set(get_args(Command)), "a command without a handler fails at import"


def _cancelled(order: RestingOrder, code: str, events: list[Event]) -> None:
    events.append(
        OrderCancelled(
            order.order_id,
            order.account_id,
            order.side,
            order.price_ticks,
            order.left_lots,
            code,
        )
    )
