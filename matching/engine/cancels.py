"""Ends of open orders by command: cancels, mass cancels, cancel-afters, expiry."""

from typing import Final

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.codes import BY_CANCEL_AFTER, EXPIRED, NOT_DUE
from matching.engine.execution import cancelled
from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    BY_CANCEL_ALL,
    BY_USER,
    NOT_OPEN,
    SELL,
    Cancel,
    CancelAfter,
    CancelAll,
    CommandDone,
    CommandRefused,
    Event,
    Expire,
)

# In the queue of cancels, in place of an order id: all orders. The numbers below it: one side's.
_SWEEP_ALL: Final = -1
# Measured: 0.2 to 0.3 microseconds for each order.
DUE_PER_COMMAND_MAX: Final = 5_000
# Waiting orders that a sweep queues at a time; finding them costs 0.1 microseconds an order.
WAITING_PER_LOOK: Final = 1_000


def end_order(
    book: Book, advanced: AdvancedState, order_id: int, code: str, events: list[Event]
) -> bool:
    """End an open order, in the book or waiting; return False where no order has this id."""
    order = book.orders.get(order_id)
    if order is not None:
        book.remove(order)
        cancelled(order, code, events)
        return True
    waiting = advanced.waiting.get(order_id)
    if waiting is None:
        return False
    advanced.drop(waiting)
    events.append(waiting.end(code))
    return True


def cancel(book: Book, advanced: AdvancedState, command: Cancel, events: list[Event]) -> None:
    """End one open order, or refuse with NOT_OPEN."""
    if not end_order(book, advanced, command.order_id, BY_USER, events):
        events.append(CommandRefused(command.command_id, command.order_id, NOT_OPEN))


def cancel_all(book: Book, advanced: AdvancedState, command: CancelAll) -> None:
    """Queue the open orders of an account, or of all accounts, to be ended step by step."""
    assert command.side in (-1, BUY, SELL)
    if command.account_id == ALL_ACCOUNTS and not command.owner_tag:
        sweep(advanced, command.side, BY_CANCEL_ALL)
        return
    ids = matching_ids(book, advanced, command.account_id, command.side, command.owner_tag)
    advanced.cancels.extend((order_id, BY_CANCEL_ALL) for order_id in ids)


def matching_ids(
    book: Book, advanced: AdvancedState, account_id: int, side: int, owner_tag: int
) -> list[int]:
    """Return the ids of matching open orders: in the book, then waiting, each oldest first."""
    if account_id == ALL_ACCOUNTS:
        resting = list(book.orders.values())
        waiting = list(advanced.waiting.values())
    else:
        resting = book.by_account().orders_of(account_id)
        waiting = list(advanced.waiting_by_account.get(account_id, {}).values())
    rested = sorted(
        (order.priority, order.order_id)
        for order in resting
        if side in (-1, order.side) and owner_tag in (0, order.owner_tag)
    )
    waited = sorted(
        (one.priority, one.command.order_id)
        for one in waiting
        if side in (-1, one.command.side) and owner_tag in (0, one.command.owner_tag)
    )
    return [order_id for _, order_id in (*rested, *waited)]


def sweep(advanced: AdvancedState, side: int, code: str) -> None:
    """Queue the end of all orders (side -1), or of one side's, without listing them now."""
    advanced.cancels.append((_SWEEP_ALL - (side + 1), code))


def cancel_step(book: Book, advanced: AdvancedState, events: list[Event]) -> None:
    """End the next order of the queue of cancels."""
    order_id, code = advanced.cancels[0]
    if order_id > _SWEEP_ALL:
        advanced.cancels.popleft()
        end_order(book, advanced, order_id, code, events)
        return
    side = _SWEEP_ALL - order_id - 1
    for one in (BUY, SELL):
        own = book.sides[one][0]
        if side in (-1, one) and own.keys:
            order = own.levels[own.keys[-1]].head
            assert order is not None
            book.remove(order)
            cancelled(order, code, events)
            return
    # The first waiting orders by id are queued before the sweep, which then looks again.
    if side == -1:
        waiting = sorted(advanced.waiting)
    else:
        waiting = sorted(one for one, of in advanced.waiting.items() if of.command.side == side)
    if waiting:
        advanced.cancels.extendleft((one, code) for one in reversed(waiting[:WAITING_PER_LOOK]))
        cancel_step(book, advanced, events)
    else:
        advanced.cancels.popleft()


def cancel_after(
    book: Book, advanced: AdvancedState, command: CancelAfter, events: list[Event]
) -> None:
    """Set, move or clear an account's cancel-after."""
    assert command.due_ms >= 0
    advanced.cancel_after_set(command.account_id, command.owner_tag, command.due_ms)
    events.append(CommandDone(command.command_id, book.symbol_id))


def expire(book: Book, advanced: AdvancedState, command: Expire, events: list[Event]) -> None:
    """End one order that has expired, or queue all expired orders and due cancel-afters.

    Beyond DUE_PER_COMMAND_MAX the rest stays due for the next `Expire`.
    """
    order_id = command.order_id
    if order_id:
        expire_ms = advanced.expiry_of.get(order_id, 0)
        if not expire_ms or expire_ms > command.time_ms:
            is_open = order_id in book.orders or order_id in advanced.waiting
            code = NOT_DUE if is_open else NOT_OPEN
            events.append(CommandRefused(command.command_id, order_id, code))
        else:
            end_order(book, advanced, order_id, EXPIRED, events)
        return
    due = advanced.expiries.pop_to(command.time_ms, DUE_PER_COMMAND_MAX)
    for _, _, expired_id in due:
        del advanced.expiry_of[expired_id]
    advanced.cancels.extend((expired_id, EXPIRED) for _, _, expired_id in due)
    fired = sorted(
        key for key, due_ms in advanced.cancel_after.items() if due_ms <= command.time_ms
    )
    for key in fired:
        if len(advanced.cancels) >= DUE_PER_COMMAND_MAX:
            break  # still due: the next `Expire` goes on
        advanced.cancel_after_set(*key, 0)
        ids = matching_ids(book, advanced, key[0], -1, key[1])
        advanced.cancels.extend((one, BY_CANCEL_AFTER) for one in ids)
    events.append(CommandDone(command.command_id, book.symbol_id))
