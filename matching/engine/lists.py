"""Lists of linked orders: an order's trade, trigger or end cancels or releases the others."""

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.cancels import end_order
from matching.engine.codes import LIST_OTHER_ENDED, LIST_OTHER_TRADED, LIST_REFUSED
from matching.engine.components import PENDING, LinkedOrders, Waiting
from matching.engine.entry import (
    Ahead,
    accepted,
    assert_place,
    at_market_refusal,
    entry_refusal,
    run,
)
from matching.engine.messages import (
    GTC,
    OCO,
    OTO,
    OTOCO,
    STP_DECREMENT,
    TRIGGER_TRAILING,
    Event,
    ListAccepted,
    OrderRejected,
    OrderWaiting,
    Place,
    PlaceList,
)
from matching.engine.resting import RestingOrder, incoming
from matching.engine.states import waits
from matching.engine.triggers import start_watching
from matching.engine.versions import RULES_MENDED


def place_list(
    book: Book, advanced: AdvancedState, command: PlaceList, sequence: int, events: list[Event]
) -> None:
    """Enter all orders of a list, or reject all of them."""
    _assert_list(command)
    orders = [incoming(place, sequence) for place in command.orders]
    codes = _refusals(book, advanced, command, orders)
    if any(codes):
        for order, code in zip(orders, codes, strict=True):
            events.append(OrderRejected(order.order_id, order.account_id, code or LIST_REFUSED))
        return
    _enter(book, advanced, command, orders, sequence, events)


def _enter(
    book: Book,
    advanced: AdvancedState,
    command: PlaceList,
    orders: list[RestingOrder],
    sequence: int,
    events: list[Event],
) -> None:
    places = command.orders
    ids = [order.order_id for order in orders]
    events.append(ListAccepted(command.list_id, command.kind, list(ids)))
    events.extend(accepted(order) for order in orders)
    parent_id = 0 if command.kind == OCO else ids[0]
    order_list = LinkedOrders(command.list_id, command.kind, parent_id, ids)
    for order_id in ids:
        advanced.list_of[order_id] = order_list
    advanced.list_noted(order_list)
    # All waiting orders are in place before any order trades: a trade may release or end them.
    for place in places:
        if _is_pending(command, place) or waits(place):
            advanced.waiting_add(Waiting(place, sequence, PENDING))
    for place in places:
        if _is_pending(command, place):
            events.append(OrderWaiting(place.order_id, place.account_id, place.side, 0))
        elif waits(place):
            start_watching(book, advanced, advanced.waiting[place.order_id], events)
    for place, order in zip(places, orders, strict=True):
        if not _is_pending(command, place) and not waits(place):
            run(book, advanced, place, order, events)


def _assert_list(command: PlaceList) -> None:
    places = command.orders
    assert OCO <= command.kind <= OTOCO
    assert len(places) == (3 if command.kind == OTOCO else 2)
    assert len({place.order_id for place in places}) == len(places)
    assert len({place.account_id for place in places}) == 1
    for place in places:
        assert place.symbol_id == command.symbol_id
        assert_place(place)
        assert place.budget_ticklots == 0
        assert place.time_in_force == GTC or waits(place)
    assert command.kind == OCO or places[0].self_trade != STP_DECREMENT, "what releases is filled"
    pair = places if command.kind == OCO else places[1:]
    assert command.kind == OTO or sum(map(waits, pair)) >= 1, "of a pair one at least waits"


def _is_pending(command: PlaceList, place: Place) -> bool:
    return command.kind != OCO and place is not command.orders[0]


def _refusals(
    book: Book, advanced: AdvancedState, command: PlaceList, orders: list[RestingOrder]
) -> list[str | None]:
    """Return each order's refusal code or None, counting the orders of the list before it."""
    codes: list[str | None] = []
    ahead = Ahead()
    for place, order in zip(command.orders, orders, strict=True):
        is_pending = _is_pending(command, place)
        counts_pending = is_pending and book.rules >= RULES_MENDED
        code = entry_refusal(
            book, advanced, place, command.time_ms, ahead, is_pending=counts_pending
        )
        if code is None and not is_pending:
            code = at_market_refusal(book, advanced, place, order)
        codes.append(code)
        ahead = _counted_in(book, ahead, place, is_pending or waits(place))
    return codes


def _counted_in(book: Book, ahead: Ahead, place: Place, is_waiting: bool) -> Ahead:
    orders, waiting, trailing = ahead
    if book.rules < RULES_MENDED:
        return Ahead(orders + 1, orders + 1)
    is_trail = place.terms is not None and place.terms.trigger == TRIGGER_TRAILING
    return Ahead(orders + 1, waiting + is_waiting, trailing + is_trail)


def traded(
    book: Book, advanced: AdvancedState, order_id: int, is_filled: bool, events: list[Event]
) -> list[Waiting]:
    """Follow up a trade of a list's order: end its OCO partner, or release its pending orders.

    Return the released orders; under RULES_FIRST they are released here and not returned.
    """
    order_list = advanced.list_of[order_id]
    if order_list.parent_id == order_id:
        return _released(book, advanced, order_list, events) if is_filled else []
    if not order_list.parent_id:
        _dissolve(book, advanced, order_list, order_id, LIST_OTHER_TRADED, events)
    return []


def triggered(book: Book, advanced: AdvancedState, order_id: int, events: list[Event]) -> None:
    """Follow up the trigger of a list's order: its OCO partner ends before the order enters."""
    order_list = advanced.list_of[order_id]
    if not order_list.parent_id:
        _dissolve(book, advanced, order_list, order_id, LIST_OTHER_TRADED, events)


def ended(book: Book, advanced: AdvancedState, order_id: int, events: list[Event]) -> None:
    """Follow up the end of a list's order.

    The end of a parent or of an OCO order ends the rest of the list. The end of a pending order
    leaves the rest of the list as it is.
    """
    order_list = advanced.list_of[order_id]
    if order_list.parent_id in (0, order_id):
        _dissolve(book, advanced, order_list, order_id, LIST_OTHER_ENDED, events)
        return
    # A pending order ended: the rest of the list goes on without it.
    order_list.order_ids.remove(order_id)
    del advanced.list_of[order_id]
    if len(order_list.order_ids) == 1:
        del advanced.list_of[order_list.parent_id]
    advanced.list_noted(order_list)


def _released(
    book: Book, advanced: AdvancedState, order_list: LinkedOrders, events: list[Event]
) -> list[Waiting]:
    parent_id = order_list.parent_id
    order_list.parent_id = 0
    order_list.order_ids.remove(parent_id)
    del advanced.list_of[parent_id]
    children = list(order_list.order_ids)
    if len(children) == 1:
        del advanced.list_of[children[0]]
    advanced.list_noted(order_list)
    released = [advanced.waiting[order_id] for order_id in children]
    if book.rules >= RULES_MENDED:
        return released
    for waiting in released:  # before `last_ticks` is updated: these orders see the older price
        release(book, advanced, waiting, events)
    return []


def release(book: Book, advanced: AdvancedState, waiting: Waiting, events: list[Event]) -> None:
    """Let a pending order watch its price from now on, or queue it to enter at its turn."""
    if waits(waiting.command):
        start_watching(book, advanced, waiting, events)
    else:
        advanced.trigger([waiting], 0)


def _dissolve(
    book: Book,
    advanced: AdvancedState,
    order_list: LinkedOrders,
    order_id: int,
    code: str,
    events: list[Event],
) -> None:
    for one in order_list.order_ids:
        del advanced.list_of[one]
    advanced.list_noted(order_list)
    for one in order_list.order_ids:
        if one != order_id:
            end_order(book, advanced, one, code, events)
