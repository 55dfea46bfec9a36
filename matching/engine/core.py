"""The engine: applies commands to the books of a partition, for symbols without advanced state.

The same commands give the same events in any process: no clock, no chance, no I/O, no dependence
on hash order. The rules are numbered in matching/README.md.

`_HANDLERS` has one function for each command type. A function may assert, because impossible input
is a bug, but only before its first change to the book. A caller that sees the engine raise must
discard the engine and restore it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, get_args

from matching.engine.amends import amend
from matching.engine.auction import Indication, indication
from matching.engine.book import Book
from matching.engine.cascade import apply_advanced
from matching.engine.execution import cancelled, end_of, fillable, take, take_for_budget
from matching.engine.handlers import fault_refusal
from matching.engine.invariants import advanced_check
from matching.engine.journal import Sequenced
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
from matching.engine.versions import RULES_FIRST, RULES_MENDED, RULES_NOW

# Cancels of one account on a symbol without advanced state; measured: 1 microsecond each.
CANCELS_AT_ONCE_MAX: Final = 2_000


@dataclass(slots=True, eq=False, repr=False)
class Engine:
    """The books of one partition and the sequence of the last command applied to them."""

    sequence: int = 0
    rules: int = RULES_NOW
    books: dict[int, Book] = field(default_factory=dict)

    def apply(self, command: Command) -> list[Event]:
        """Apply one command and return its events in order.

        An exception is a bug: the engine's state is then unknown, and the engine must be discarded.
        """
        try:
            book = self.books[command.symbol_id]
        except KeyError:
            book = self.book(command.symbol_id)
        sequence = self.sequence + 1
        if book.advanced is None:
            events = _HANDLERS[type(command)](book, command, sequence)
        else:
            events = apply_advanced(book, command, sequence)
        self.sequence = sequence
        return events

    def apply_again(self, row: Sequenced) -> list[Event]:
        """Apply a journal row's command under the row's rules version and return its events.

        A caller that applies new commands after the last row sets RULES_NOW first.
        """
        if row.rules != self.rules:
            self.rules_set(row.rules)
        return self.apply(row.command)

    def book(self, symbol_id: int) -> Book:
        """Return the symbol's book; an unknown symbol gets an empty book, open for trading."""
        book = self.books.get(symbol_id)
        if book is None:
            book = self.books[symbol_id] = Book(symbol_id)
            book.rules = self.rules
        return book

    def rules_set(self, rules: int) -> None:
        """Set the rules version of all books, for instance that of a journal row to be replayed."""
        assert RULES_FIRST <= rules <= RULES_NOW, "a journal of a later release"
        self.rules = rules
        for book in self.books.values():
            book.rules = rules

    def restore(self, symbol_id: int, state: int, orders: Iterable[RestingOrder]) -> None:
        """Fill an empty book with open orders, given by ascending priority.

        The caller sets `sequence` to the checkpoint's.
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

    def indication(self, symbol_id: int) -> Indication:
        """Return the price, volume and surplus that an auction of the symbol would have now."""
        book = self.book(symbol_id)
        return indication(book, book.advanced)

    def next_due_ms(self, symbol_id: int) -> int | None:
        """Return the time in ms from which an `Expire` of the symbol has an effect, or None."""
        advanced = self.book(symbol_id).advanced
        return advanced.next_due_ms() if advanced is not None else None

    def needs_continue(self, symbol_id: int) -> bool:
        """Return whether work is left, so that the symbol's next command should be a `Continue`."""
        advanced = self.book(symbol_id).advanced
        return advanced is not None and advanced.has_work()

    def check(self) -> None:
        """Assert every invariant of every book. O(orders): for tests and snapshots."""
        for symbol_id in self.books:
            self.check_book(symbol_id)

    def check_book(self, symbol_id: int) -> None:
        """Assert every invariant of one book. O(orders)."""
        book = self.books[symbol_id]
        assert book.symbol_id == symbol_id
        book.check()
        if book.advanced is not None:
            advanced_check(book, book.advanced, self.sequence)
        assert all(0 < order.priority <= self.sequence for order in book.orders.values())


def _place(book: Book, command: Place, sequence: int) -> list[Event]:
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


def _cancel(book: Book, command: Cancel, sequence: int) -> list[Event]:
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


def _amend(book: Book, command: Amend, sequence: int) -> list[Event]:
    if command.display_lots and book.rules >= RULES_MENDED:
        return apply_advanced(book, command, sequence)  # rows alone cannot restore an iceberg
    events: list[Event] = []
    amend(book, command, sequence, events)
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


_HANDLERS: dict[type[Any], Callable[[Book, Any, int], list[Event]]] = {
    Place: _place,
    Cancel: _cancel,
    Amend: _amend,
    CancelAll: _cancel_all,
    SetState: _set_state,
    RefuseFaulty: _refuse_faulty,
    **dict.fromkeys(
        (PlaceList, Expire, CancelAfter, Continue, SetFeature, SetBand, SetLimits), apply_advanced
    ),
}
assert set(_HANDLERS) == set(get_args(Command)), "a command without a handler fails at import"
