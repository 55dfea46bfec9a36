"""The pure fold from a batch of engine events to row changes; no I/O.

The worker's results (orders/recording/results.py) write the changes. An order that ten events of a
batch touch has one change. Prices are in ticks, quantities in lots, quote sums in tick-lots.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args

from exchange.domain.enums import OrderStatus
from matching.engine.codes import (
    BY_CANCEL_AFTER,
    EXPIRED_AT_ENTRY,
    LIST_OTHER_ENDED,
    LIST_OTHER_TRADED,
)
from matching.engine.journal import Sequenced
from matching.engine.messages import (
    BUDGET_SPENT,
    BY_CANCEL_ALL,
    BY_USER,
    DUPLICATE_ORDER_ID,
    FOK_UNFILLABLE,
    OPEN,
    SELF_TRADE,
    STP_DECREMENT,
    AuctionUncrossed,
    Command,
    CommandDone,
    CommandRefused,
    Continue,
    ContinueNeeded,
    Event,
    Expire,
    ListAccepted,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRefreshed,
    OrderRejected,
    OrderRepriced,
    OrderTriggered,
    OrderWaiting,
    PhaseChanged,
    Place,
    PlaceList,
    ReferenceMoved,
    RefuseFaulty,
    SelfTradePrevented,
    StateChanged,
    Trade,
)
from orders.recording.changes import BatchChanges

# Cancels that the trader asked for, now or beforehand. Every other end comes from the order's own
# terms or the market state, and makes the order expired.
_CANCELLED_CODES: Final = frozenset(
    {BY_USER, BY_CANCEL_ALL, BY_CANCEL_AFTER, SELF_TRADE, LIST_OTHER_TRADED, LIST_OTHER_ENDED}
)
_EXPIRED_AT_ENTRY_CODES: Final = frozenset({FOK_UNFILLABLE, EXPIRED_AT_ENTRY})
_ROWLESS: Final = frozenset({Place, PlaceList, Expire, Continue})


def batch_changes(
    batch: Iterable[Sequenced], states_before: Mapping[int, int] | None = None
) -> BatchChanges:
    """Fold a batch's events into row changes.

    `states_before` has the market states before the batch by symbol id; a missing symbol is open.
    """
    changes = BatchChanges(states_before or {})
    for row in batch:
        command = row.command
        if _has_row(command):
            changes.commands[command.command_id] = (row.sequence, None)
        for event in row.events:
            _FOLDS[type(event)](changes, row, event)
        if type(command) is Place:
            _entered(changes, command)
        elif type(command) is PlaceList:
            for place in command.orders:
                _entered(changes, place)
    return changes


def _has_row(command: Command) -> bool:
    """Whether the command has a row in orders_command.

    Commands that place orders have the orders' rows instead. Expire and Continue are the worker's
    own commands and have no row.
    """
    if type(command) is RefuseFaulty:
        return not command.is_place
    return type(command) not in _ROWLESS


def _accepted(changes: BatchChanges, row: Sequenced, event: OrderAccepted) -> None:
    change = changes.change(event.order_id, row.command.symbol_id)
    assert not change.engine_seq, "an order is sequenced once"
    change.engine_seq = change.priority_seq = row.sequence
    # Later events say whether the order waits or trades; if none does, `_entered` opens it.
    change.status = OrderStatus.NEW
    if event.price_ticks != _place_of(row.command, event.order_id).price_ticks:
        change.price_ticks = event.price_ticks  # a post-only order that was moved
        changes.needs_settlement = True


def _place_of(command: Command, order_id: int) -> Place:
    """Return the Place of this order, out of its list if the command is a list."""
    if type(command) is PlaceList:
        [command] = [place for place in command.orders if place.order_id == order_id]
    assert type(command) is Place
    assert command.order_id == order_id, "an order is accepted by the command that brings it"
    return command


def _entered(changes: BatchChanges, place: Place) -> None:
    """Open an order that did not trade, wait or end; touch the level of an order that rests."""
    change = changes.orders[place.order_id]
    if change.status is OrderStatus.NEW:
        change.move(OrderStatus.OPEN)
    if change.status is not OrderStatus.WAITING and not change.has_ended():
        changes.touch(place.symbol_id, place.side, change.price_ticks or place.price_ticks)


def _rejected(changes: BatchChanges, row: Sequenced, event: OrderRejected) -> None:
    # Only unsequenced orders reach the engine, so its book cannot hold the same id.
    assert event.code != DUPLICATE_ORDER_ID
    change = changes.change(event.order_id, row.command.symbol_id)
    change.engine_seq = row.sequence
    change.reason = event.code
    expired = event.code in _EXPIRED_AT_ENTRY_CODES
    change.move(OrderStatus.EXPIRED if expired else OrderStatus.REJECTED)
    changes.needs_settlement = True


def _traded(changes: BatchChanges, row: Sequenced, event: Trade) -> None:
    command = row.command
    symbol_id = command.symbol_id
    index = len(changes.trades)
    changes.trades.append((symbol_id, row.sequence, event))
    maker_ticks = event.maker_price_ticks or event.price_ticks
    changes.touch(symbol_id, 1 - event.taker_side, maker_ticks)
    if changes.state_of(symbol_id) != OPEN:  # both rested, at prices of their own
        changes.auctions.add(symbol_id)
    changes.needs_settlement = True
    # Lots do not say what a taker by quote amount may still spend: its last event decides.
    by_budget = (
        type(command) is Place
        and command.budget_ticklots > 0
        and command.order_id == event.taker_order_id
    )
    for order_id, role, is_filled in (
        (event.maker_order_id, "maker", event.maker_left_lots == 0),
        (event.taker_order_id, "taker", event.taker_left_lots == 0 and not by_budget),
    ):
        change = changes.change(order_id, symbol_id)
        change.filled_lots += event.quantity_lots
        change.filled_ticklots += event.quantity_lots * event.price_ticks
        change.fills.append((index, role))
        change.move(OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED)


def _cancelled(changes: BatchChanges, row: Sequenced, event: OrderCancelled) -> None:
    command = row.command
    change = changes.change(event.order_id, command.symbol_id)
    changes.needs_settlement = True
    if type(command) is not Place or command.order_id != event.order_id:
        # An incoming order has not rested yet. Any other order may have rested at this level.
        changes.touch(command.symbol_id, event.side, event.price_ticks)
    if event.code == SELF_TRADE:
        change.taken_ticklots = 0  # the order ended: its quote amount stays as requested
    if event.code == BUDGET_SPENT and change.filled_lots:
        change.move(OrderStatus.FILLED)
        return
    change.reason = event.code
    by_will = event.code in _CANCELLED_CODES
    change.move(OrderStatus.CANCELLED if by_will else OrderStatus.EXPIRED)


def _amended(changes: BatchChanges, row: Sequenced, event: OrderAmended) -> None:
    """New terms by an amend, or a smaller quantity by self-trade prevention."""
    symbol_id = row.command.symbol_id
    change = changes.change(event.order_id, symbol_id)
    if event.price_ticks != event.old_price_ticks:
        change.price_ticks = event.price_ticks
    change.quantity_lots = event.quantity_lots
    change.take_terms(event)
    if not event.kept_priority:
        change.priority_seq = row.sequence
    if event.left_lots < event.quantity_lots:
        change.move(OrderStatus.PARTIALLY_FILLED)
    # Otherwise the order keeps its status: open or waiting.
    changes.touch(symbol_id, event.side, event.old_price_ticks)
    changes.touch(symbol_id, event.side, event.price_ticks)
    changes.needs_settlement = True


def _refused(changes: BatchChanges, row: Sequenced, event: CommandRefused) -> None:
    assert _has_row(row.command), "the worker's own commands are not refused"
    changes.commands[event.command_id] = (row.sequence, event.code)
    changes.needs_settlement = True


def _state_changed(changes: BatchChanges, _row: Sequenced, event: StateChanged) -> None:
    changes.states[event.symbol_id] = event.state


def _waiting(changes: BatchChanges, row: Sequenced, event: OrderWaiting) -> None:
    """The order waits for its trigger: it was accepted, released by its list, or amended."""
    changes.change(event.order_id, row.command.symbol_id).move(OrderStatus.WAITING)


def _triggered(changes: BatchChanges, row: Sequenced, event: OrderTriggered) -> None:
    change = changes.change(event.order_id, row.command.symbol_id)
    change.move(OrderStatus.OPEN)
    change.priority_seq = row.sequence
    change.reference_ticks = event.at_ticks
    change.came_in = True


def _repriced(changes: BatchChanges, row: Sequenced, event: OrderRepriced) -> None:
    changes.change(event.order_id, row.command.symbol_id).price_ticks = event.price_ticks
    changes.needs_settlement = True


def _refreshed(changes: BatchChanges, row: Sequenced, event: OrderRefreshed) -> None:
    change = changes.change(event.order_id, row.command.symbol_id)
    change.priority_seq = row.sequence
    change.came_in = True


def _prevented(changes: BatchChanges, row: Sequenced, event: SelfTradePrevented) -> None:
    command = row.command
    changes.prevented.append((command.symbol_id, row.sequence, event))
    if (
        event.mode == STP_DECREMENT
        and type(command) is Place
        and command.budget_ticklots
        and command.order_id == event.taker_order_id
    ):  # the quote amount shrinks; `OrderAmended` only says how a quantity shrinks
        change = changes.change(command.order_id, command.symbol_id)
        change.taken_ticklots += event.price_ticks * event.quantity_lots


def _uncrossed(changes: BatchChanges, _row: Sequenced, event: AuctionUncrossed) -> None:
    changes.uncrossed[event.symbol_id] = event


def _nothing(_changes: BatchChanges, _row: Sequenced, _event: Event) -> None:
    """Change no row: other events follow this event, or the state channel reads the engine."""


_FOLDS: dict[type[Any], Callable[[BatchChanges, Sequenced, Any], None]] = {
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    Trade: _traded,
    OrderCancelled: _cancelled,
    OrderAmended: _amended,
    CommandRefused: _refused,
    StateChanged: _state_changed,
    OrderWaiting: _waiting,
    OrderTriggered: _triggered,
    OrderRefreshed: _refreshed,
    OrderRepriced: _repriced,
    SelfTradePrevented: _prevented,
    ListAccepted: _nothing,
    CommandDone: _nothing,
    ContinueNeeded: _nothing,
    AuctionUncrossed: _uncrossed,
    PhaseChanged: _nothing,
    ReferenceMoved: _nothing,
}
assert set(_FOLDS) == set(get_args(Event)), "an event without a fold fails at import"
