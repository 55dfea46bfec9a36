"""Entry of orders: refusals, lists, and the first match (1, 3-6, 12, 16, 19, 20, 23)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import bands, triggers
from tests.oracles.rules.limits import limits_code
from tests.oracles.rules.market import GATHERING, STATE_CODES, Market, other
from tests.oracles.rules.order import Order, Where, order_of
from tests.oracles.rules.trading import is_fillable, take


def place(market: Market, command: m.Place) -> None:
    """Accept or reject an order before any other event of it (1.3)."""
    order = order_of(command, market.sequence)
    code = refusal(market, order, [order])
    if code:
        market.tell(m.OrderRejected(order.id, order.account, code))
        return
    accept(market, order)
    begin(market, order)


def place_list(market: Market, command: m.PlaceList) -> None:
    """Accept all orders of a list, or none (19.1, 19.5)."""
    orders = [order_of(one, market.sequence) for one in command.orders]
    link(command.kind, orders)
    found = [refusal(market, order, orders) for order in orders]
    if any(found):
        for order, code in zip(orders, found, strict=True):
            market.tell(m.OrderRejected(order.id, order.account, code or codes.LIST_REFUSED))
        return
    market.tell(m.ListAccepted(command.list_id, command.kind, [order.id for order in orders]))
    for order in orders:
        accept(market, order)
    plain = [one for one in orders if one.parent is None and not one.terms.trigger]
    for order in orders:
        if order.parent is not None:
            keep_pending(market, order)
        elif order.terms.trigger:
            triggers.watch(market, order)
    for order in plain:
        come_in(market, order)  # 19.6: before orders that are triggered at once


def link(kind: int, orders: list[Order]) -> None:
    """Link the orders of a list: OCO, or parent and children (19.2, 19.7, 19.10)."""
    if kind == m.OCO:
        orders[0].sibling, orders[1].sibling = orders[1], orders[0]
        return
    orders[0].children = orders[1:]
    for child in orders[1:]:
        child.parent = orders[0]


def keep_pending(market: Market, order: Order) -> None:
    """Let a child wait for the complete fill of its parent (19.7)."""
    order.where = Where.PENDING
    order.place, order.place_sequence = market.next_place(), market.sequence
    market.tell(m.OrderWaiting(order.id, order.account, order.side, 0))


def accept(market: Market, order: Order) -> None:
    """Accept an order; a post-only order may be repriced before (16.1)."""
    if not order.terms.trigger and order.parent is None:
        order.price = repriced(market, order) or order.price
    market.orders.append(order)
    market.tell(m.OrderAccepted(order.id, order.account, order.side, order.price, order.total))


def begin(market: Market, order: Order) -> None:
    """Let an accepted order watch for its trigger, or enter."""
    if order.terms.trigger:
        triggers.watch(market, order)
    else:
        come_in(market, order)


def come_in(market: Market, order: Order) -> None:
    """Let an order enter: trade if the symbol trades, then rest or end (3, 4, 6, 12.4, 20.1)."""
    reason = ""
    if market.state not in GATHERING and not order.post_only:
        reason = take(market, order)
    if order.is_open and (reason or order.left == 0):
        end_of(market, order, reason)
    elif order.is_open:
        market.rest(order)


def end_of(market: Market, order: Order, reason: str) -> None:
    """End an order that is filled, or whose rest may not stay (1.3)."""
    if reason:
        market.cancel(order, reason)
    else:
        market.remove(order)


def come_in_late(market: Market, order: Order) -> None:
    """Let a triggered or released order enter, or end with a code (12.4, 12.11, 19.9)."""
    code = late_refusal(market, order)
    if code:
        market.cancel(order, code)
        return
    price = repriced(market, order)
    if price:
        old, order.price = order.price, price
        market.tell(  # 16.4
            m.OrderRepriced(order.id, order.account, order.side, old, price, order.left)
        )
    come_in(market, order)


def refusal(market: Market, order: Order, together: list[Order]) -> str:
    """Return the first reason that refuses an order, or '' (1.6)."""
    has_trigger = order.terms.trigger != m.TRIGGER_NONE
    if code := state_code(market, order, waits=has_trigger):
        return code
    if market.find(order.id) is not None:
        return m.DUPLICATE_ORDER_ID  # 1.5
    if 0 < order.terms.expire_ms <= market.now_ms:
        return codes.EXPIRED_AT_ENTRY  # 15.3
    comes_later = has_trigger or order.parent is not None
    return limits_code(market, order, together) or (
        "" if comes_later else meeting_code(market, order)
    )


def late_refusal(market: Market, order: Order) -> str:
    """Return why a triggered or released order is refused; limits are not checked (12.11, 23.6)."""
    return state_code(market, order, waits=False) or meeting_code(market, order)


def state_code(market: Market, order: Order, *, waits: bool) -> str:
    """Return the code of a state that does not accept this order, or '' (20)."""
    state = market.state
    if state == m.OPEN:
        return ""
    if state in GATHERING:
        may_rest = waits or order.tif == m.GTC
        is_for_auction = state != m.PRE_OPEN and order.is_market and not order.is_by_quote
        return "" if may_rest or is_for_auction else STATE_CODES[state]
    if state == m.POST_ONLY and order.post_only and not waits:
        return ""
    return STATE_CODES[state]


def meeting_code(market: Market, order: Order) -> str:
    """Return why post-only, the band or fill-or-kill refuses an order now, or '' (1.6)."""
    if market.state in GATHERING:
        return ""  # 16.2, 20.1, 22.8: no orders match
    price = order.price
    if order.post_only and market.would_trade(order, price):
        price = repriced(market, order)
        if not price:
            return m.POST_ONLY_WOULD_TAKE  # 5.1, 16.3
    if not order.is_market and bands.is_refused(market, order, price):
        return codes.PRICE_OUTSIDE_BAND  # 22.1, 22.3, 22.9
    if order.tif == m.FOK and not is_fillable(market, order):
        return m.FOK_UNFILLABLE  # 4.3
    return ""


def repriced(market: Market, order: Order) -> int:
    """Return one tick before the best opposite price, or 0: not repriced (16.1-16.3, 16.6)."""
    if not (order.post_only and order.terms.reprice) or market.state in GATHERING:
        return 0
    if not market.would_trade(order, order.price):
        return 0
    step = -1 if order.side == m.BUY else 1
    price = market.best(other(order.side)) + step
    limit = order.terms.reprice_limit_ticks
    is_beyond = limit and (price < limit if order.side == m.BUY else price > limit)
    return 0 if is_beyond else max(0, price)
