"""The row changes of a batch of engine events. The fold in fold.py fills them in.

Integers only: prices in ticks, quantities in lots, quote sums in tick-lots.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from exchange.domain.enums import OrderStatus
from matching.engine.messages import (
    OPEN,
    AuctionUncrossed,
    OrderAmended,
    SelfTradePrevented,
    Trade,
)
from orders.commands.columns import AMENDABLE
from orders.lifecycle import advance, is_final

_amended_values: Final[Callable[[OrderAmended], tuple[int, ...]]] = attrgetter(*AMENDABLE)


class OrderChange:
    """The change of one order's row in one batch.

    A term of 0 and a status of None mean "unchanged": the fold knows an order of an earlier batch
    only from the events. The slots are written by hand: docs/adr/0034.
    """

    __slots__ = (
        "came_in",
        "engine_seq",
        "filled_lots",
        "filled_ticklots",
        "fills",
        "order_id",
        "price_ticks",
        "priority_seq",
        "quantity_lots",
        "reason",
        "reference_ticks",
        "status",
        "symbol_id",
        "taken_ticklots",
        "terms",
        "trail_bound_ticks",
        "trail_stop_ticks",
    )

    def __init__(self, order_id: int, symbol_id: int) -> None:
        self.order_id = order_id
        self.symbol_id = symbol_id
        self.engine_seq = 0  # set for an order that this batch sequences
        self.priority_seq = 0
        self.status: OrderStatus | None = None
        self.reason: str | None = None
        self.price_ticks = 0
        self.quantity_lots = 0
        self.terms: dict[str, int] | None = None  # given by amends: fields of Terms
        self.reference_ticks = 0  # the price that triggered the order
        self.trail_stop_ticks = 0  # the current stop of a trailing stop, and its bound
        self.trail_bound_ticks = 0
        self.taken_ticklots = 0  # taken off the quote amount by self-trade prevention
        # The order entered the book, and no event has its price and priority: read the book.
        self.came_in = False
        self.filled_lots = 0
        self.filled_ticklots = 0
        self.fills: list[tuple[int, str]] = []  # (index of the trade in the batch, role)

    def move(self, status: OrderStatus) -> None:
        """Set the next status. A move that the life cycle forbids is a bug and raises (O4)."""
        # An order of an earlier batch starts here as "new". The statement that writes its row
        # checks the move against the row's own status.
        self.status = advance(self.status or OrderStatus.NEW, status)

    def take_terms(self, event: OrderAmended) -> None:
        """Keep the terms that an amend gave the order; what the event leaves unset stays."""
        values = _amended_values(event)
        if any(values):
            given = {name: value for name, value in zip(AMENDABLE, values, strict=True) if value}
            self.terms = self.terms | given if self.terms else given

    def has_ended(self) -> bool:
        """Whether the order has a final status."""
        return self.status is not None and is_final(self.status)


@dataclass(slots=True, eq=False)
class BatchChanges:
    """All row changes of one batch."""

    states_before: Mapping[int, int]  # market state by symbol id; a missing symbol is open
    orders: dict[int, OrderChange] = field(default_factory=dict)
    # id -> (sequence, refusal)
    commands: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    # (symbol id, sequence, trade)
    trades: list[tuple[int, int, Trade]] = field(default_factory=list)
    # Keyed like trades.
    prevented: list[tuple[int, int, SelfTradePrevented]] = field(default_factory=list)
    states: dict[int, int] = field(default_factory=dict)  # symbol id -> market state
    # Book levels that may have changed: symbol id -> {(side, price_ticks)}
    levels: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    # Symbols with trades of an auction, which do not say at which levels the orders rested.
    auctions: set[int] = field(default_factory=set)
    # The last uncross by symbol id.
    uncrossed: dict[int, AuctionUncrossed] = field(default_factory=dict)
    needs_settlement: bool = False

    def change(self, order_id: int, symbol_id: int) -> OrderChange:
        found = self.orders.get(order_id)
        if found is None:
            found = self.orders[order_id] = OrderChange(order_id, symbol_id)
        return found

    def touch(self, symbol_id: int, side: int, price_ticks: int) -> None:
        levels = self.levels.get(symbol_id)
        if levels is None:
            levels = self.levels[symbol_id] = set()
        levels.add((side, price_ticks))

    def state_of(self, symbol_id: int) -> int:
        """Return the symbol's market state after the events folded so far."""
        state = self.states.get(symbol_id)
        return self.states_before.get(symbol_id, OPEN) if state is None else state
