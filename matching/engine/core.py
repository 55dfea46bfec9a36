"""The engine: applies commands to the books of a partition.

The same commands give the same events in any process: no clock, no chance, no I/O, no dependence
on hash order. The rules are numbered in matching/README.md.

A caller that sees the engine raise must discard the engine and restore it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from matching.engine.auction import Indication, indication
from matching.engine.book import Book
from matching.engine.fast_path import ADVANCED_HANDLERS
from matching.engine.invariants import advanced_check
from matching.engine.journal import Sequenced
from matching.engine.messages import HALT, OPEN, Command, Event
from matching.engine.plain import PLAIN_HANDLERS
from matching.engine.resting import RestingOrder
from matching.engine.versions import RULES_FIRST, RULES_NOW


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
            events = PLAIN_HANDLERS[type(command)](book, command, sequence)
        else:
            events = ADVANCED_HANDLERS[type(command)](book, command, sequence)
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
