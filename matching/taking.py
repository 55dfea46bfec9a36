"""How an order takes from the other side: price-time order, self-trade prevention, bounds."""

from itertools import chain
from typing import Final

from matching.book import Book, Level, RestingOrder
from matching.messages import (
    BUDGET_SPENT,
    MARKET_REST,
    SELF_TRADE,
    STP_CANCEL_INCOMING,
    STP_NONE,
    Event,
    Trade,
)

# Stands for "no account" where an order may trade with its own account's orders.
_NOBODY: Final = -1


def take(book: Book, taker: RestingOrder, events: list[Event]) -> bool:
    """Trade with the best opposite orders up to the taker's limit.

    Return True where it stopped because the next order belongs to the taker's own account.
    """
    opposite = book.sides[taker.side][1]
    keys = opposite.keys
    levels = opposite.levels
    limit_key = taker.price_ticks * opposite.sign
    own_account = _own_account(taker)
    left_lots = taker.left_lots
    while left_lots and keys and keys[-1] >= limit_key:
        maker = levels[keys[-1]].head
        assert maker is not None
        if maker.account_id == own_account:
            return True
        lots = maker.left_lots
        if lots > left_lots:
            lots = left_lots
        left_lots -= lots
        taker.left_lots = left_lots
        _trade(book, taker, maker, lots, events)
    return False


def take_for_budget(
    book: Book, taker: RestingOrder, budget_ticklots: int, events: list[Event]
) -> str:
    """Trade until the budget buys no further lot; return why it ended."""
    opposite = book.sides[taker.side][1]
    keys = opposite.keys
    limit_key = taker.price_ticks * opposite.sign
    own_account = _own_account(taker)
    while budget_ticklots and keys and keys[-1] >= limit_key:
        maker = opposite.levels[keys[-1]].head
        assert maker is not None
        lots = min(maker.left_lots, budget_ticklots // maker.price_ticks)
        if lots == 0:
            return BUDGET_SPENT
        if maker.account_id == own_account:
            return SELF_TRADE
        budget_ticklots -= lots * maker.price_ticks
        _trade(book, taker, maker, lots, events)
    return MARKET_REST if budget_ticklots else BUDGET_SPENT


def _own_account(taker: RestingOrder) -> int:
    assert taker.self_trade in (STP_NONE, STP_CANCEL_INCOMING)
    return taker.account_id if taker.self_trade == STP_CANCEL_INCOMING else _NOBODY


def _trade(
    book: Book, taker: RestingOrder, maker: RestingOrder, lots: int, events: list[Event]
) -> None:
    """One match; the caller has already taken the lots off the taker."""
    events.append(
        Trade(
            maker.order_id,
            taker.order_id,
            maker.account_id,
            taker.account_id,
            taker.side,
            # The maker's price: it was in the book first, and the taker agreed to at least this.
            maker.price_ticks,
            lots,
            book.fill(maker, lots),
            taker.left_lots,
        )
    )


def fillable(book: Book, taker: RestingOrder) -> bool:
    """Tell whether all of the taker would trade now, before it meets an order of its own account.

    The totals of the levels answer first; the walk over orders then costs no more than the fill.
    """
    opposite = book.sides[taker.side][1]
    limit_key = taker.price_ticks * opposite.sign
    reach: list[Level] = []
    missing_lots = taker.left_lots
    for key in reversed(opposite.keys):
        if key < limit_key or missing_lots <= 0:
            break
        reach.append(opposite.levels[key])
        missing_lots -= reach[-1].quantity_lots
    if missing_lots > 0:
        return False
    own_account = _own_account(taker)
    missing_lots = taker.left_lots
    for maker in chain.from_iterable(reach):
        if missing_lots <= 0:
            break
        if maker.account_id == own_account:
            return False
        missing_lots -= maker.left_lots
    return True
