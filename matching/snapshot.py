"""One hash for the whole engine state, computed in full or kept up to date order by order.

Each open order contributes the blake2b of its values; contributions are added modulo 2**256, so the
order in which they come does not matter and one order is replaced in constant time. The digest of
the sum, the sequence and the market states identifies the state (design.md: B3, D1).
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from matching.book import Book, RestingOrder
from matching.engine import Engine
from matching.messages import OPEN, CommandRefused, Event, StateChanged, Trade

# A change of what is hashed, or how, takes a new version: old checkpoints then differ visibly.
_VERSION: Final = "takas-state-1"
_DIGEST_BYTES: Final = 32
_MODULUS: Final = 1 << (8 * _DIGEST_BYTES)


def state_hash(engine: Engine) -> str:
    """Return the hash of the engine's state in hex, from scratch. O(open orders)."""
    total = 0
    for symbol_id, book in engine.books.items():
        for order in book.orders.values():
            total += _contribution(symbol_id, order)
    states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
    return _hexdigest(total % _MODULUS, engine.sequence, states)


class StateHash:
    """The same hash kept up to date: tell it of every order that changed."""

    def __init__(self) -> None:
        self._total = 0
        self._contributions: dict[int, dict[int, int]] = {}

    @classmethod
    def of(cls, engine: Engine) -> "StateHash":
        """Return the hash of an engine as it stands, for instance after a restore."""
        kept = cls()
        for symbol_id, book in engine.books.items():
            for order_id, order in book.orders.items():
                kept.touch(symbol_id, order_id, order)
        return kept

    def touch(self, symbol_id: int, order_id: int, order: RestingOrder | None) -> None:
        """Take over an order as it is now; None when it is no longer open."""
        known = self._contributions.setdefault(symbol_id, {})
        old = known.pop(order_id, 0)
        new = 0
        if order is not None:
            assert order.order_id == order_id
            new = known[order_id] = _contribution(symbol_id, order)
        self._total = (self._total + new - old) % _MODULUS

    def follow(self, book: Book, events: Iterable[Event]) -> None:
        """Touch every order that the events name; call it when the book stands after them."""
        for order_id in orders_named(events):
            self.touch(book.symbol_id, order_id, book.orders.get(order_id))

    def hexdigest(self, sequence: int, states: Mapping[int, int]) -> str:
        """Return the hash for an engine sequence and the market state of each symbol."""
        return _hexdigest(self._total, sequence, states)


def orders_named(events: Iterable[Event]) -> set[int]:
    """Return the ids of all orders whose resting state the events may have changed."""
    ids: set[int] = set()
    for event in events:
        if isinstance(event, StateChanged | CommandRefused):
            continue
        if isinstance(event, Trade):
            ids.add(event.maker_order_id)
            ids.add(event.taker_order_id)
        else:
            ids.add(event.order_id)
    return ids


def _contribution(symbol_id: int, order: RestingOrder) -> int:
    # Text, because it has no integer width to overflow. All that can change later events is in it.
    text = (
        f"{symbol_id},{order.order_id},{order.account_id},{order.side},{order.price_ticks},"
        f"{order.quantity_lots},{order.left_lots},{order.priority},"
        f"{order.post_only:d},{order.self_trade}"
    )
    return int.from_bytes(blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest())


def _hexdigest(total: int, sequence: int, states: Mapping[int, int]) -> str:
    # An empty open book is what every unknown symbol has: it must not tell two engines apart.
    closed = sorted((symbol, state) for symbol, state in states.items() if state != OPEN)
    text = f"{_VERSION}|{sequence}|{total:x}|{closed}"
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
