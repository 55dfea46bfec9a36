"""The hash of the whole engine state, computed in full or kept up to date order by order.

Each open order contributes the blake2b of its values. Contributions are added modulo 2**256, so
their order does not matter and an order is replaced in constant time. The digest of the sum, the
sequence and the market states identifies the state (invariants B3 and D1).

All the rest is advanced state. Its cancel-afters, limits, linked orders and market orders of an
auction are a sum that is kept up to date (matching/engine/set_hash.py). Of a long queue the length
and the next orders are hashed: an order has no effect before it reaches the front of its queue. The
hash of a symbol's advanced state is kept until the symbol's next command.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec
from msgspec.structs import astuple

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import TRIGGERED, LinkedOrders, Waiting
from matching.engine.core import Engine
from matching.engine.messages import (
    OPEN,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRefreshed,
    OrderRejected,
    OrderRepriced,
    OrderTriggered,
    OrderWaiting,
    Place,
    SelfTradePrevented,
    Terms,
    Trade,
)
from matching.engine.resting import RestingOrder
from matching.engine.segmented import SegmentedDict
from matching.engine.set_hash import HASH_BYTES, MODULUS, SetHash, contribution

# Each change of the hashed values or of their form takes a new version: old checkpoints then differ
# visibly. The values of a new feature are hashed only where it is used: old states keep their hash.
_VERSION: Final = "takas-state-1"
_ADVANCED_VERSION: Final = "desks-2"
QUEUE_HASHED_MAX: Final = 100

_encode = msgspec.msgpack.Encoder().encode
_PLACE_TAG: Final = Place.__struct_config__.tag
_TERMS_FIRST: Final = Terms.__struct_fields__.index("bound_ppm")


def state_hash(engine: Engine) -> str:
    """Return the hash of the engine's state in hex, from scratch. O(open orders)."""
    total = 0
    for symbol_id, book in engine.books.items():
        for order in open_orders(book):
            total += _contribution(symbol_id, order)
    states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
    return _hexdigest(total % MODULUS, engine.sequence, states, advanced_hash_afresh(engine))


def open_orders(book: Book) -> list[RestingOrder | Waiting]:
    """Return all open orders of a symbol: those in its book, then the waiting orders."""
    waiting = book.advanced.waiting.values() if book.advanced is not None else ()
    return [*book.orders.values(), *waiting]


def open_order(book: Book, order_id: int) -> RestingOrder | Waiting | None:
    """Return the open order with this id, in the book or waiting, or None."""
    order = book.orders.get(order_id)
    if order is None and book.advanced is not None:
        return book.advanced.waiting.get(order_id)
    return order


class StateHash:
    """The hash of `state_hash`, kept up to date by a call of `touch` for each changed order."""

    def __init__(self) -> None:
        self._total = 0
        self._contributions: dict[int, SegmentedDict[int]] = {}

    @classmethod
    def of(cls, engine: Engine) -> "StateHash":
        """Return a hash that is up to date with an engine, for instance after a restore."""
        kept = cls()
        for symbol_id, book in engine.books.items():
            for order in open_orders(book):
                kept.touch(symbol_id, _order_id(order), order)
        return kept

    def touch(self, symbol_id: int, order_id: int, order: RestingOrder | Waiting | None) -> None:
        """Set an order's contribution from its present values; None: the order is not open."""
        known = self._contributions.get(symbol_id)
        if known is None:
            known = self._contributions[symbol_id] = SegmentedDict()
        old = known.get(order_id, 0)
        new = 0
        if order is not None:
            assert _order_id(order) == order_id
            new = known[order_id] = _contribution(symbol_id, order)
        elif old:
            del known[order_id]
        self._total = (self._total + new - old) % MODULUS

    def follow(self, book: Book, events: Iterable[Event]) -> None:
        """Touch every order that the events name; the book already is in the state after them."""
        for order_id in orders_named(events):
            self.touch(book.symbol_id, order_id, open_order(book, order_id))

    def hexdigest(self, sequence: int, states: Mapping[int, int], advanced: str = "") -> str:
        """Return the hash for an engine sequence and the market state of each symbol.

        `advanced` is `advanced_hash(engine)`; it is empty where no symbol has advanced state.
        """
        return _hexdigest(self._total, sequence, states, advanced)


_ABOUT_ONE_ORDER: Final = (
    OrderAccepted,
    OrderRejected,
    OrderCancelled,
    OrderAmended,
    OrderWaiting,
    OrderTriggered,
    OrderRefreshed,
    OrderRepriced,
)


def orders_named(events: Iterable[Event]) -> set[int]:
    """Return the ids of all orders whose open state the events may have changed."""
    ids: set[int] = set()
    for event in events:
        if isinstance(event, Trade | SelfTradePrevented):
            ids.add(event.maker_order_id)
            ids.add(event.taker_order_id)
        elif isinstance(event, _ABOUT_ONE_ORDER):
            ids.add(event.order_id)
    return ids


def _order_id(order: RestingOrder | Waiting) -> int:
    return order.command.order_id if isinstance(order, Waiting) else order.order_id


def _contribution(symbol_id: int, order: RestingOrder | Waiting) -> int:
    # A text, because text has no integer width to overflow. It has every value that can change
    # later events.
    if isinstance(order, Waiting):
        # The stop price is in the advanced state's hash: it moves without an event of the order.
        text = f"waiting,{symbol_id},{order.priority},{_command_bytes(order.command).hex()}"
    else:
        text = (
            f"{symbol_id},{order.order_id},{order.account_id},{order.side},{order.price_ticks},"
            f"{order.quantity_lots},{order.left_lots},{order.priority},"
            f"{order.post_only:d},{order.self_trade}"
        )
        if order.group_id or order.owner_tag or order.display_lots or order.expire_ms:
            text += (
                f",{order.group_id},{order.owner_tag},{order.display_lots},"
                f"{order.hidden_lots},{order.expire_ms}"
            )
            if order.since:
                text += f",{order.since}"
    return contribution(text)


def _command_bytes(command: Place) -> bytes:
    """Return the bytes of an order's command, without unused fields that were added later."""
    terms = command.terms
    if terms is None or terms.bound_ppm or terms.reprice_limit_ticks:
        return _encode(command)
    return _encode((_PLACE_TAG, *astuple(command)[:-1], astuple(terms)[:_TERMS_FIRST]))


def _hexdigest(total: int, sequence: int, states: Mapping[int, int], advanced: str) -> str:
    # OPEN is left out: an unknown symbol and an empty open book must give the same hash.
    closed = sorted((symbol, state) for symbol, state in states.items() if state != OPEN)
    text = f"{_VERSION}|{sequence}|{total:x}|{closed}{advanced}"
    return blake2b(text.encode(), digest_size=HASH_BYTES).hexdigest()


def advanced_hash(engine: Engine) -> str:
    """Return the hash of all advanced state without the waiting orders' own terms.

    An empty string where no symbol has advanced state. Symbols without a command since the last
    call cost nothing.
    """
    values = []
    for symbol_id, book in engine.books.items():
        advanced = book.advanced
        if advanced is None:
            continue
        if advanced.kept_hash is None or advanced.hash_sequence != advanced.sequence:
            if advanced.set_hash is None:
                advanced.set_hash = _set_hash_of(advanced)
            advanced.kept_hash = _advanced_hash(advanced, advanced.set_hash.total)
            advanced.hash_sequence = advanced.sequence
        values.append((symbol_id, advanced.kept_hash))
    return _joined(values)


def advanced_hash_afresh(engine: Engine) -> str:
    """Return the same as `advanced_hash`, computed without kept values. O(all advanced state)."""
    return _joined(
        [
            (symbol_id, _advanced_hash(book.advanced, _set_hash_of(book.advanced).total))
            for symbol_id, book in engine.books.items()
            if book.advanced is not None
        ]
    )


def _joined(values: list[tuple[int, str]]) -> str:
    if not values:
        return ""
    text = f"{_ADVANCED_VERSION}{sorted(values)}"
    return "|" + blake2b(text.encode(), digest_size=HASH_BYTES).hexdigest()


def _advanced_hash(advanced: AdvancedState, total: int) -> str:
    values = (
        advanced.sequence if advanced.has_work() else 0,
        advanced.now_ms,
        advanced.last_ticks,
        advanced.is_last_fresh,
        [_trailing_text(trailing) for trailing in advanced.trailing.values()],
        (advanced.triggered_live, _triggered_next(advanced)),
        (len(advanced.cancels), list(islice(advanced.cancels, QUEUE_HASHED_MAX))),
        total,
        sorted(advanced.features),
        advanced.band.as_tuple() if advanced.band is not None else None,
        list(advanced.samples),
        msgspec.structs.astuple(advanced.uncross) if advanced.uncross is not None else None,
    )
    return blake2b(repr(values).encode(), digest_size=HASH_BYTES).hexdigest()


def _trailing_text(trailing: dict[int, Waiting]) -> str:
    """Return the marks of a source's trailing stops by id; two lists, as there may be 2,000."""
    ids = sorted(trailing)
    return f"{ids}{[trailing[order_id].mark_ticks for order_id in ids]}" if ids else ""


def _triggered_next(advanced: AdvancedState) -> list[tuple[int, int]]:
    following = islice(_live(advanced), QUEUE_HASHED_MAX)
    return [(one.command.order_id, one.at_ticks) for one in following]


def _live(advanced: AdvancedState) -> Iterator[Waiting]:
    waiting = advanced.waiting
    for one in advanced.triggered:
        if waiting.get(one.command.order_id) is one and one.stage == TRIGGERED:
            yield one


def _set_hash_of(advanced: AdvancedState) -> SetHash:
    """Return the sum of `AdvancedState.set_hash`, computed in full."""
    set_hash = SetHash()
    for (account_id, owner_tag), due_ms in advanced.cancel_after.items():
        set_hash.put("timer", (account_id, owner_tag), (account_id, owner_tag, due_ms))
    for account_id, limits in advanced.limits.items():
        set_hash.put("limits", account_id, (account_id, limits))
    for order_id in advanced.at_open:
        set_hash.put("at_open", order_id, order_id)
    for order_list in order_lists(advanced):
        set_hash.put("list", order_list, order_list.as_tuple())
    return set_hash


def order_lists(advanced: AdvancedState) -> list[LinkedOrders]:
    """Return each list of linked orders once, sorted by the id of its first order."""
    by_first = {one.order_ids[0]: one for one in advanced.list_of.values()}
    return [order_list for _, order_list in sorted(by_first.items())]


def triggered_orders(advanced: AdvancedState) -> list[Waiting]:
    """Return the triggered orders that have not ended meanwhile, in the order of their turns."""
    return list(_live(advanced))
