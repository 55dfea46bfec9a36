"""What a batch of engine events means for rows: a pure fold, integers in, changes out.

The worker's results (orders/results.py) write what comes out of here. One order touched ten times
in a batch becomes one change. Prices in ticks, quantities in lots, quote sums in tick-lots.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, get_args

from exchange.domain.enums import OrderStatus
from matching.codec import Sequenced
from matching.messages import (
    BUDGET_SPENT,
    BY_CANCEL_ALL,
    BY_USER,
    DUPLICATE_ORDER_ID,
    FOK_UNFILLABLE,
    GTC,
    SELF_TRADE,
    Command,
    CommandRefused,
    DeskEvent,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    Place,
    RefuseFaulty,
    StateChanged,
    Trade,
)
from orders.lifecycle import advance, is_final

_CANCELLED_CODES: Final = frozenset({BY_USER, BY_CANCEL_ALL, SELF_TRADE})


class OrderChange:
    """How one order's row changes in one batch; 0 means "as it was" for the terms."""

    __slots__ = (
        "engine_seq",
        "filled_lots",
        "filled_ticklots",
        "fills",
        "order_id",
        "price_ticks",
        "priority_seq",
        "quantity_lots",
        "reason",
        "status",
        "symbol_id",
    )

    def __init__(self, order_id: int, symbol_id: int) -> None:
        self.order_id = order_id
        self.symbol_id = symbol_id
        self.engine_seq = 0  # set for an order that this batch sequences
        self.priority_seq = 0
        self.status = OrderStatus.NEW
        self.reason: str | None = None
        self.price_ticks = 0
        self.quantity_lots = 0
        self.filled_lots = 0
        self.filled_ticklots = 0
        self.fills: list[tuple[int, str]] = []  # (index of the trade in the batch, role)

    def move(self, status: OrderStatus) -> None:
        """Take the next status; a move that the life cycle does not know is a bug (O4)."""
        # An order from an earlier batch starts here as "new": its row's own status is guarded
        # by the statement that writes it.
        self.status = advance(self.status, status)


class Outcome:
    """All row changes of one batch."""

    __slots__ = ("commands", "levels", "needs_settlement", "orders", "states", "trades")

    def __init__(self) -> None:
        self.orders: dict[int, OrderChange] = {}
        self.commands: dict[int, tuple[int, str | None]] = {}  # id -> (sequence, refusal)
        self.trades: list[tuple[int, int, Trade]] = []  # (symbol id, sequence, trade)
        self.states: dict[int, int] = {}  # symbol id -> market state
        # Book levels that the batch touched: symbol id -> {(side, price_ticks)}
        self.levels: dict[int, set[tuple[int, int]]] = {}
        self.needs_settlement = False

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


def outcome_of(batch: Iterable[Sequenced]) -> Outcome:
    """Fold a batch's events into row changes."""
    outcome = Outcome()
    for row in batch:
        command = row.command
        if not _is_about_new_order(command):
            outcome.commands[command.command_id] = (row.sequence, None)
        for event in row.events:
            _FOLDS[type(event)](outcome, row, event)
        if type(command) is Place:
            _touch_if_resting(outcome, command)
    return outcome


def _accepted(outcome: Outcome, row: Sequenced, event: OrderAccepted) -> None:
    change = outcome.change(event.order_id, row.command.symbol_id)
    assert not change.engine_seq, "an order is sequenced once"
    change.engine_seq = change.priority_seq = row.sequence
    change.move(OrderStatus.OPEN)


def _rejected(outcome: Outcome, row: Sequenced, event: OrderRejected) -> None:
    # Only unsequenced orders reach the engine, so its book cannot hold the same id.
    assert event.code != DUPLICATE_ORDER_ID
    change = outcome.change(event.order_id, row.command.symbol_id)
    change.engine_seq = row.sequence
    change.reason = event.code
    expired = event.code == FOK_UNFILLABLE
    change.move(OrderStatus.EXPIRED if expired else OrderStatus.REJECTED)
    outcome.needs_settlement = True


def _traded(outcome: Outcome, row: Sequenced, event: Trade) -> None:
    symbol_id = row.command.symbol_id
    index = len(outcome.trades)
    outcome.trades.append((symbol_id, row.sequence, event))
    outcome.touch(symbol_id, 1 - event.taker_side, event.price_ticks)
    outcome.needs_settlement = True
    # What a taker by quote amount may still spend is not in its lots: its end says how it ended.
    by_budget = type(row.command) is Place and row.command.budget_ticklots > 0
    for order_id, role, is_filled in (
        (event.maker_order_id, "maker", event.maker_left_lots == 0),
        (event.taker_order_id, "taker", event.taker_left_lots == 0 and not by_budget),
    ):
        change = outcome.change(order_id, symbol_id)
        change.filled_lots += event.quantity_lots
        change.filled_ticklots += event.quantity_lots * event.price_ticks
        change.fills.append((index, role))
        change.move(OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED)


def _cancelled(outcome: Outcome, row: Sequenced, event: OrderCancelled) -> None:
    change = outcome.change(event.order_id, row.command.symbol_id)
    outcome.needs_settlement = True
    if type(row.command) is not Place:  # an incoming order has not rested yet
        outcome.touch(row.command.symbol_id, event.side, event.price_ticks)
    if event.code == BUDGET_SPENT and change.filled_lots:
        change.move(OrderStatus.FILLED)
        return
    change.reason = event.code
    by_will = event.code in _CANCELLED_CODES
    change.move(OrderStatus.CANCELLED if by_will else OrderStatus.EXPIRED)


def _amended(outcome: Outcome, row: Sequenced, event: OrderAmended) -> None:
    symbol_id = row.command.symbol_id
    change = outcome.change(event.order_id, symbol_id)
    change.price_ticks = event.price_ticks
    change.quantity_lots = event.quantity_lots
    if not event.kept_priority:
        change.priority_seq = row.sequence
    has_fills = event.left_lots < event.quantity_lots
    change.move(OrderStatus.PARTIALLY_FILLED if has_fills else OrderStatus.OPEN)
    outcome.touch(symbol_id, event.side, event.old_price_ticks)
    outcome.touch(symbol_id, event.side, event.price_ticks)
    outcome.needs_settlement = True


def _refused(outcome: Outcome, row: Sequenced, event: CommandRefused) -> None:
    outcome.commands[event.command_id] = (row.sequence, event.code)
    outcome.needs_settlement = True


def _state_changed(outcome: Outcome, _row: Sequenced, event: StateChanged) -> None:
    outcome.states[event.symbol_id] = event.state


def _not_asked_for(_outcome: Outcome, row: Sequenced, event: DeskEvent) -> None:
    raise AssertionError(f"intake sends no command that leads to {event} (row {row.sequence})")


_FOLDS: dict[type[Any], Callable[[Outcome, Sequenced, Any], None]] = {
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    Trade: _traded,
    OrderCancelled: _cancelled,
    OrderAmended: _amended,
    CommandRefused: _refused,
    StateChanged: _state_changed,
    **dict.fromkeys(get_args(DeskEvent), _not_asked_for),
}
assert set(_FOLDS) == set(get_args(Event)), "an event without a fold fails at import"


def _is_about_new_order(command: Command) -> bool:
    """Whether the command's row is the order itself, not one in orders_command."""
    return type(command) is Place or (type(command) is RefuseFaulty and command.is_place)


def _touch_if_resting(outcome: Outcome, command: Place) -> None:
    """The level where what did not trade at once rests now."""
    change = outcome.orders[command.order_id]
    if command.time_in_force == GTC and not is_final(change.status):
        outcome.touch(command.symbol_id, command.side, command.price_ticks)
