"""Cancels of one order and of many (7, 10.2, 18.1-18.3, 20.3, 20.6)."""

from collections.abc import Callable

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules.following import follow_up
from tests.oracles.rules.market import STATE_CODES, Market
from tests.oracles.rules.order import Order, Where


def cancel(market: Market, command: m.Cancel) -> None:
    """Cancel one order (7.1-7.3)."""
    order = market.find(command.order_id)
    code = m.NOT_OPEN if order is None else cancel_code(market)
    if code or order is None:
        market.tell(m.CommandRefused(command.command_id, command.order_id, code))
        return
    market.cancel(order, m.BY_USER)


def cancel_code(market: Market) -> str:
    """Return why only the house may cancel now, or '' (10.2, 20.3, 20.6)."""
    if market.state == m.AUCTION_CUTOFF:
        return codes.SYMBOL_IN_AUCTION
    is_kept = m.FEATURE_HALT_KEEPS_ORDERS in market.features
    return STATE_CODES[m.HALT] if market.state == m.HALT and is_kept else ""


def cancel_all(market: Market, command: m.CancelAll) -> None:
    """Cancel many orders (7.4, 7.5, 18.1-18.3)."""
    is_house = command.account_id == m.ALL_ACCOUNTS
    code = "" if is_house else cancel_code(market)
    if code:
        market.tell(m.CommandRefused(command.command_id, 0, code))
        return

    def is_meant(order: Order) -> bool:
        return (
            (is_house or order.account == command.account_id)
            and command.side in (-1, order.side)
            and command.owner_tag in (0, order.tag)
        )

    # Orders of one owner tag end oldest first, even those of several accounts.
    by_price = is_house and not command.owner_tag
    end_all(market, is_meant, m.BY_CANCEL_ALL, by_price=by_price)


def end_all(
    market: Market, is_meant: Callable[[Order], bool], code: str, *, by_price: bool
) -> None:
    """End the orders in the book first, then waiting ones; none enters meanwhile (18.1, 25.4).

    The end of one order may end others (19.3).
    """
    follow_up(market)
    meant = [order for order in market.orders if is_meant(order)]
    book = [order for order in meant if order.where is Where.BOOK]
    waiting = [order for order in meant if order.where is not Where.BOOK]
    if by_price:  # 18.3
        book = [o for side in (m.BUY, m.SELL) for o in market.side(side) if is_meant(o)]
        waiting.sort(key=lambda order: order.id)
    else:
        book.sort(key=lambda order: (order.place_sequence, order.id))
        waiting.sort(key=lambda order: order.age)
    for order in book + waiting:
        if order.is_open:
            market.cancel(order, code)
            follow_up(market)
