"""Which reservations a batch of journal rows may change: what settlement has to lock and load."""

from collections.abc import Iterable, Mapping
from typing import Final

from matching.engine.journal import Sequenced
from matching.engine.messages import (
    Command,
    CommandRefused,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    OrderRepriced,
    Place,
    PlaceList,
    Trade,
)
from wallets.reservations import Held

_ABOUT_ONE_ORDER: Final = (
    OrderRejected,
    OrderCancelled,
    OrderAmended,
    OrderRepriced,
    CommandRefused,
)


def orders_touched(rows: Iterable[Sequenced]) -> set[int]:
    """Return the orders that the rows name and whose reservations they may change.

    What is linked to these may change with them: the other one of a pool, and the orders that one
    of these pays for (wallets.locks.reservations_locked finds them).
    """
    touched: set[int] = set()
    for row in rows:
        for event in row.events:
            if isinstance(event, Trade):
                touched.add(event.maker_order_id)
                touched.add(event.taker_order_id)
            elif isinstance(event, OrderAccepted):
                if is_repriced(row.command, event):
                    touched.add(event.order_id)
            elif isinstance(event, _ABOUT_ONE_ORDER):
                touched.add(event.order_id)
    return touched


def is_repriced(command: Command, event: OrderAccepted) -> bool:
    """Tell whether a post-only order was accepted at another price than it asked for."""
    if type(command) is PlaceList:
        [command] = [place for place in command.orders if place.order_id == event.order_id]
    assert type(command) is Place
    return event.price_ticks != command.price_ticks


def amends_refused(rows: Iterable[Sequenced], held: Mapping[int, Held]) -> list[int]:
    """Return the command ids of refused amends for which an order still holds extra funds."""
    pending = {one.pending_amend_id for one in held.values()} - {None}
    return [
        event.command_id
        for row in rows
        for event in row.events
        if type(event) is CommandRefused and event.command_id in pending
    ]
