"""Entry of an order on a symbol with advanced state: refusals, waiting, taking, resting."""

from typing import Final, NamedTuple

from matching.engine import bands
from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.codes import (
    BAND_REST,
    EXPIRED_AT_ENTRY,
    OPEN_ORDERS_MAX,
    PRICE_OUTSIDE_BAND,
    STOP_ORDERS_MAX,
    TRAILING_ORDERS_MAX,
)
from matching.engine.components import (
    PENDING,
    TRAILING_ORDERS_PER_SYMBOL_MAX,
    Waiting,
)
from matching.engine.execution import cancelled, fillable, take, take_for_budget
from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    DUPLICATE_ORDER_ID,
    FOK,
    FOK_UNFILLABLE,
    GTC,
    IOC,
    IOC_REST,
    MARKET_REST,
    NO_TERMS,
    OPEN,
    POST_ONLY_WOULD_TAKE,
    SELF_TRADE,
    SELL,
    TRIGGER_TRAILING,
    Event,
    OrderAccepted,
    OrderRejected,
    Place,
    Terms,
)
from matching.engine.resting import RestingOrder, incoming
from matching.engine.states import AUCTIONS, GATHERING, state_refusal, waits
from matching.engine.triggers import start_watching
from matching.engine.versions import RULES_MENDED


def place(
    book: Book, advanced: AdvancedState, command: Place, sequence: int, events: list[Event]
) -> None:
    """Enter one order, or reject it."""
    assert_place(command)
    order = incoming(command, sequence)
    code = entry_refusal(book, advanced, command, command.time_ms) or at_market_refusal(
        book, advanced, command, order
    )
    if code is not None:
        events.append(OrderRejected(order.order_id, order.account_id, code))
        return
    events.append(accepted(order))
    if waits(command):
        waiting = Waiting(command, sequence, PENDING)
        advanced.waiting_add(waiting)
        start_watching(book, advanced, waiting, events)
    else:
        run(book, advanced, command, order, events)


def assert_place(command: Place) -> None:
    """Assert that a command's fields fit together, as the validation before the engine requires."""
    by_budget = command.budget_ticklots > 0
    assert command.price_ticks > 0
    assert BUY <= command.side <= SELL
    assert (command.quantity_lots == 0) if by_budget else (command.quantity_lots > 0)
    assert command.market or not by_budget
    assert GTC <= command.time_in_force <= FOK
    assert command.time_in_force == IOC or not command.market
    assert command.time_in_force == GTC or not command.post_only
    if command.terms is not None:
        command.terms.check(command)


def accepted(order: RestingOrder) -> OrderAccepted:
    """Return the event of an order's acceptance, at the price that the order got."""
    return OrderAccepted(
        order.order_id, order.account_id, order.side, order.price_ticks, order.quantity_lots
    )


class Ahead(NamedTuple):
    """Counts of the orders before an order in its list: all, waiting orders, trailing stops."""

    orders: int = 0
    waiting: int = 0
    trailing: int = 0


_ALONE: Final = Ahead()
_UNLIMITED: Final = (0, 0)


def entry_refusal(
    book: Book,
    advanced: AdvancedState,
    command: Place,
    time_ms: int,
    ahead: Ahead = _ALONE,
    *,
    is_pending: bool = False,
) -> str | None:
    """Return the code of the first rule that refuses the order: state, id, expiry, limits.

    None where no rule refuses it. `is_pending`: the order waits for its parent's fill.
    """
    code = state_refusal(book, command)
    if code is not None:
        return code
    order_id = command.order_id
    if order_id in book.orders or order_id in advanced.waiting:
        return DUPLICATE_ORDER_ID
    terms = command.terms or NO_TERMS
    if terms.expire_ms and terms.expire_ms <= time_ms:
        return EXPIRED_AT_ENTRY
    if terms.trigger == TRIGGER_TRAILING:
        trailing = (
            advanced.trailing_live if book.rules >= RULES_MENDED else advanced.trailing_watching()
        )
        if trailing + ahead.trailing >= TRAILING_ORDERS_PER_SYMBOL_MAX:
            return TRAILING_ORDERS_MAX
    is_waiting = is_pending or waits(command)
    if command.time_in_force == GTC or is_waiting or _waits_for_auction(book, command):
        return limit_refusal(book, advanced, command, ahead, is_waiting=is_waiting)
    return None


def _waits_for_auction(book: Book, command: Place) -> bool:
    return command.market and book.state in AUCTIONS and book.rules >= RULES_MENDED


def limit_refusal(
    book: Book,
    advanced: AdvancedState,
    command: Place,
    ahead: Ahead = _ALONE,
    *,
    is_waiting: bool = False,
) -> str | None:
    """Return the code of the limit that refuses an order which would rest or wait, or None."""
    limits = advanced.limits
    if not limits:
        return None
    account_id = command.account_id
    open_max, stops_max = limits.get(account_id) or limits.get(ALL_ACCOUNTS, _UNLIMITED)
    waiting = len(advanced.waiting_by_account.get(account_id, ())) if advanced.waiting else 0
    if open_max and waiting + ahead.orders + book.by_account().count_of(account_id) >= open_max:
        return OPEN_ORDERS_MAX
    if stops_max and is_waiting and waiting + ahead.waiting >= stops_max:
        return STOP_ORDERS_MAX
    return None


def at_market_refusal(
    book: Book, advanced: AdvancedState, command: Place, order: RestingOrder
) -> str | None:
    """Return the code of why the order may not enter the present book, or None.

    A post-only order with `reprice` that would trade gets another price here.
    """
    if waits(command) or book.state in GATHERING:
        return None
    if command.post_only:
        opposite = book.sides[order.side][1]
        if opposite.keys and opposite.keys[-1] >= order.price_ticks * opposite.sign:
            best_ticks = opposite.keys[-1] * opposite.sign
            one_away = best_ticks - 1 if order.side == BUY else best_ticks + 1
            terms = command.terms or NO_TERMS
            if not terms.reprice or one_away < 1 or _is_beyond(order.side, one_away, terms):
                return POST_ONLY_WOULD_TAKE
            order.price_ticks = one_away
    if not command.market and _band_refuses(book, advanced, order):
        return PRICE_OUTSIDE_BAND
    if command.time_in_force == FOK and not fillable(book, order):
        return FOK_UNFILLABLE
    return None


def _is_beyond(side: int, price_ticks: int, terms: Terms) -> bool:
    """Return whether a price is beyond the limit to which a post-only order may be moved."""
    limit_ticks = terms.reprice_limit_ticks
    if not limit_ticks:
        return False
    return price_ticks < limit_ticks if side == BUY else price_ticks > limit_ticks


def _band_refuses(book: Book, advanced: AdvancedState, order: RestingOrder) -> bool:
    if advanced.band is None:
        return False
    side, price_ticks = order.side, order.price_ticks
    return bands.is_outside(advanced, side, price_ticks) or bands.is_barred(
        book, side, price_ticks, bands.edge_passed(book, advanced, side)
    )


def run(
    book: Book, advanced: AdvancedState, command: Place, order: RestingOrder, events: list[Event]
) -> None:
    """Let an accepted order trade if the market is open; its rest enters the book or ends."""
    if book.state != OPEN:
        if command.market:
            advanced.at_open_add(order.order_id)
        rest(book, advanced, order)
        return
    edge_ticks = bands.edge_passed(book, advanced, order.side) if advanced.band is not None else 0
    code: str | None = IOC_REST
    if command.market:
        code = _trade_market(book, advanced, command, order, edge_ticks, events)
    elif take(book, order, events, edge_ticks):
        code = SELF_TRADE
    elif not order.left_lots:
        code = None
    elif command.time_in_force == GTC:
        rest(book, advanced, order)
        code = None
    if code is not None:
        cancelled(order, code, events)


def _trade_market(
    book: Book,
    advanced: AdvancedState,
    command: Place,
    order: RestingOrder,
    edge_ticks: int,
    events: list[Event],
) -> str | None:
    """Let a market order trade within its bound and the band; return its end's code, or None."""
    side, bound_ticks = order.side, order.price_ticks
    if bands.is_barred(book, side, bound_ticks, edge_ticks):
        return BAND_REST
    code: str | None = MARKET_REST
    limit_ticks = bands.clamped(advanced, side, bound_ticks)
    if book.rules < RULES_MENDED:
        order.price_ticks = limit_ticks  # under RULES_FIRST an `OrderAmended` had this price
    if command.budget_ticklots:
        budget = command.budget_ticklots
        code = take_for_budget(book, order, budget, events, edge_ticks, limit_ticks)
    elif take(book, order, events, edge_ticks, limit_ticks):
        code = SELF_TRADE
    elif not order.left_lots:
        code = None
    if limit_ticks != bound_ticks and code == MARKET_REST:
        opposite = book.sides[side][1]
        if opposite.keys and opposite.keys[-1] >= bound_ticks * opposite.sign:
            code = BAND_REST
    order.price_ticks = bound_ticks
    return code


def rest(book: Book, advanced: AdvancedState, order: RestingOrder) -> None:
    """Put an order into the book (an iceberg shows its first slice) and remember its expiry."""
    book.add_sliced(order)
    advanced.expiry_add(order.order_id, order.expire_ms)
