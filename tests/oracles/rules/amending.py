"""Amends of open orders (5.3, 8, 12.10, 13.5, 14.7, 14.8, 16.5, 20)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import bands, entry, triggers
from tests.oracles.rules.market import GATHERING, STATE_CODES, Market
from tests.oracles.rules.order import Order, Where
from tests.oracles.rules.trading import tell_amended


def amend(market: Market, command: m.Amend) -> None:
    """Amend an order, or refuse and change nothing (8)."""
    order = market.find(command.order_id)
    code = m.NOT_OPEN if order is None else refusal(market, order, command)
    if code or order is None:
        market.tell(m.CommandRefused(command.command_id, command.order_id, code))
        return
    if command.keep_priority:
        reduce(market, order, command)
    else:
        change(market, order, command)


def refusal(market: Market, order: Order, command: m.Amend) -> str:
    """Return the first reason that refuses an amend, or '': state, terms, book (1.6)."""
    return (
        amend_state_code(market) or terms_code(order, command) or book_code(market, order, command)
    )


def amend_state_code(market: Market) -> str:
    """Return the code of a state in which nobody amends, or '' (10.1, 20)."""
    if market.state in (m.OPEN, m.PRE_OPEN, m.AUCTION, m.POST_ONLY):
        return ""
    return STATE_CODES[market.state]


def terms_code(order: Order, command: m.Amend) -> str:
    """Return why the order cannot have these terms, or '' (8.4, 8.6, 12.10, 13.5, 14.8)."""
    if command.stop_ticks and not (order.is_waiting and order.terms.stop_ticks):
        return codes.AMEND_NO_TRIGGER
    if command.display_lots and order.tif != m.GTC:
        return codes.AMEND_NO_DISPLAY
    total = command.quantity_lots or order.total
    if not order.is_by_quote and total <= order.filled:
        return m.AMEND_BELOW_FILLED
    if order.is_by_quote and command.quantity_lots:
        return m.NO_PRIORITY_KEPT
    is_reduction = (
        order.where is Where.BOOK
        and command.price_ticks in (0, order.price)
        and total < order.total
        and not command.stop_ticks
        and not command.display_lots
    )
    return m.NO_PRIORITY_KEPT if command.keep_priority and not is_reduction else ""


def book_code(market: Market, order: Order, command: m.Amend) -> str:
    """Return why the book or band refuses the new terms, or '' (5.3, 16.5, 22.1, 22.9)."""
    if market.state in GATHERING or order.is_waiting or command.keep_priority:
        return ""  # an order that only gets smaller in its place meets no other (22.1)
    price = command.price_ticks or order.price
    may_not_take = order.post_only or market.state == m.POST_ONLY  # 5.3, 20.4
    if may_not_take and market.would_trade(order, price):
        return m.POST_ONLY_WOULD_TAKE
    if command.price_ticks and bands.is_refused(market, order, price):
        return codes.PRICE_OUTSIDE_BAND
    return ""


def reduce(market: Market, order: Order, command: m.Amend) -> None:
    """Make the total smaller, from the hidden part first; the order keeps its place (8.5, 14.7)."""
    before = order.left
    order.left = command.quantity_lots - order.filled
    order.total = command.quantity_lots
    order.shown = min(order.shown, order.left)
    tell_amended(market, order, order.price, before, is_kept=True)


def change(market: Market, order: Order, command: m.Amend) -> None:
    """Give new terms: the order is the youngest and enters again (8.2, 8.3, 9.5, 12.7)."""
    old_price, before, filled = order.price, order.left, order.filled
    order.price = command.price_ticks or order.price
    order.total = command.quantity_lots or order.total
    order.left = order.total - filled
    order.terms.display_lots = command.display_lots or order.terms.display_lots
    order.sequence = market.sequence
    if command.stop_ticks:
        order.terms.stop_ticks = order.stop = command.stop_ticks
    tell_amended(market, order, old_price, before, is_kept=False)
    if order.where is Where.BOOK:
        order.where = Where.COMING
        entry.come_in(market, order)
        return
    order.place, order.place_sequence = market.next_place(), market.sequence
    if command.stop_ticks and order.where is Where.WATCHING:
        triggers.watch(market, order)
