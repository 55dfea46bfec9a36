"""Matching of an incoming order: price-time order, self-trade prevention, bounds."""

from itertools import chain
from typing import Final

from matching.engine.book import Book
from matching.engine.messages import (
    BUDGET_SPENT,
    BUY,
    FEATURE_REPORT_PREVENTED,
    MARKET_REST,
    SELF_TRADE,
    STP_CANCEL_BOTH,
    STP_CANCEL_INCOMING,
    STP_CANCEL_RESTING,
    STP_DECREMENT,
    STP_NONE,
    Event,
    OrderCancelled,
    OrderRefreshed,
    SelfTradePrevented,
    Trade,
)
from matching.engine.resting import Level, RestingOrder
from matching.engine.versions import RULES_MENDED

# No account and no group has this id: an order without prevention trades with everyone.
_NOBODY: Final = -1


def take(
    book: Book,
    taker: RestingOrder,
    events: list[Event],
    edge_ticks: int = 0,
    limit_ticks: int = 0,
) -> bool:
    """Trade with the best opposite orders up to the taker's price, or up to `limit_ticks` if given.

    Orders beyond `edge_ticks`, a band's edge, trade at the edge (0: none). Return True where
    self-trade prevention ends the taker; the caller then cancels the lots it has left.
    """
    opposite = book.sides[taker.side][1]
    keys = opposite.keys
    limit_key = (limit_ticks or taker.price_ticks) * opposite.sign
    if not keys or keys[-1] < limit_key:
        return False
    levels = opposite.levels
    own_account = own_group = _NOBODY
    if taker.self_trade != STP_NONE:
        own_account, own_group = _owner(taker)
    left_lots = taker.left_lots
    while left_lots and keys and keys[-1] >= limit_key:
        maker = levels[keys[-1]].head
        assert maker is not None
        lots = maker.left_lots
        if lots > left_lots:
            lots = left_lots
        if maker.account_id == own_account or maker.group_id == own_group:
            if prevent(book, taker, maker, lots, events, edge_ticks):
                return True
            left_lots = taker.left_lots
            continue
        left_lots -= lots
        taker.left_lots = left_lots
        trade(book, taker, maker, lots, events, edge_ticks)
    return False


def take_for_budget(
    book: Book,
    taker: RestingOrder,
    budget_ticklots: int,
    events: list[Event],
    edge_ticks: int = 0,
    limit_ticks: int = 0,
) -> str:
    """Trade until the budget buys no further lot; return the code of why the order ends."""
    spent = BUDGET_SPENT
    opposite = book.sides[taker.side][1]
    keys = opposite.keys
    limit_key = (limit_ticks or taker.price_ticks) * opposite.sign
    own_account, own_group = _owner(taker)
    while budget_ticklots and keys and keys[-1] >= limit_key:
        maker = opposite.levels[keys[-1]].head
        assert maker is not None
        price_ticks = match_ticks(maker, edge_ticks)
        lots = min(maker.left_lots, budget_ticklots // price_ticks)
        if lots == 0:
            return spent
        if maker.account_id == own_account or maker.group_id == own_group:
            if prevent(book, taker, maker, lots, events, edge_ticks):
                return SELF_TRADE
            if taker.self_trade == STP_DECREMENT:
                budget_ticklots -= lots * price_ticks
                spent = SELF_TRADE if book.rules >= RULES_MENDED else BUDGET_SPENT
            continue
        budget_ticklots -= lots * price_ticks
        spent = BUDGET_SPENT
        trade(book, taker, maker, lots, events, edge_ticks)
    return MARKET_REST if budget_ticklots else spent


def match_ticks(maker: RestingOrder, edge_ticks: int) -> int:
    """Return the price of a match: the maker's, or the band's edge if the maker is beyond it."""
    price_ticks = maker.price_ticks
    if not edge_ticks:
        return price_ticks
    return min(price_ticks, edge_ticks) if maker.side == BUY else max(price_ticks, edge_ticks)


def _owner(taker: RestingOrder) -> tuple[int, int]:
    """Return the account and the group with whose orders the taker must not trade."""
    assert STP_NONE <= taker.self_trade <= STP_DECREMENT
    if taker.self_trade == STP_NONE:
        return _NOBODY, _NOBODY
    return taker.account_id, taker.group_id or _NOBODY


def is_same_owner(taker: RestingOrder, maker: RestingOrder) -> bool:
    """Return whether the taker's self-trade mode forbids a match with the maker."""
    own_account, own_group = _owner(taker)
    return maker.account_id == own_account or maker.group_id == own_group


def prevent(
    book: Book,
    taker: RestingOrder,
    maker: RestingOrder,
    lots: int,
    events: list[Event],
    edge_ticks: int,
) -> bool:
    """Apply the taker's self-trade mode instead of a match; return True where the taker ends."""
    mode = taker.self_trade
    if mode == STP_CANCEL_INCOMING and not (
        book.advanced is not None and FEATURE_REPORT_PREVENTED in book.advanced.features
    ):
        return True
    if (
        mode == STP_DECREMENT
        and book.advanced is not None
        and book.advanced.is_parent(maker.order_id)
    ):
        mode = STP_CANCEL_INCOMING  # a parent keeps its lots: its fills pay for its funded orders
    events.append(
        SelfTradePrevented(
            maker.order_id,
            taker.order_id,
            maker.account_id,
            taker.account_id,
            taker.side,
            match_ticks(maker, edge_ticks),
            lots,
            mode,
        )
    )
    if mode == STP_DECREMENT:
        return _decrement(book, taker, maker, lots, events)
    if mode in (STP_CANCEL_RESTING, STP_CANCEL_BOTH):
        book.remove(maker)
        cancelled(maker, SELF_TRADE, events)
    return mode != STP_CANCEL_RESTING


def _decrement(
    book: Book, taker: RestingOrder, maker: RestingOrder, lots: int, events: list[Event]
) -> bool:
    """Take the lots off both orders without a trade; an order with nothing left is cancelled."""
    before_lots = maker.left_lots + maker.hidden_lots
    if lots == before_lots:
        book.remove(maker)
        cancelled(maker, SELF_TRADE, events)
    else:
        is_slice_gone = lots == maker.left_lots
        maker.quantity_lots -= lots
        book.fill(maker, lots, taker.priority)
        events.append(maker.amended(maker.price_ticks, before_lots, not is_slice_gone))
        if is_slice_gone:
            refreshed(maker, events)
    if not taker.quantity_lots:  # an order by quote amount: the caller shrinks its budget
        return False
    if lots == taker.left_lots:
        return True
    taker.quantity_lots -= lots
    taker.left_lots -= lots
    events.append(taker.amended(taker.price_ticks, taker.left_lots + lots, False))
    return False


def trade(
    book: Book,
    taker: RestingOrder,
    maker: RestingOrder,
    lots: int,
    events: list[Event],
    edge_ticks: int,
) -> None:
    """Make one match; the caller has already taken the lots off the taker."""
    is_slice_gone = lots == maker.left_lots
    event = Trade(
        maker.order_id,
        taker.order_id,
        maker.account_id,
        taker.account_id,
        taker.side,
        # The maker was in the book first, and the taker accepts this price or a worse price.
        maker.price_ticks,
        lots,
        book.fill(maker, lots, taker.priority),
        taker.left_lots,
    )
    if edge_ticks:
        event.price_ticks = match_ticks(maker, edge_ticks)
        if event.price_ticks != maker.price_ticks:
            event.maker_price_ticks = maker.price_ticks
    events.append(event)
    if is_slice_gone and maker.left_lots:
        refreshed(maker, events)


def refreshed(order: RestingOrder, events: list[Event]) -> None:
    """Append the event of an iceberg's next slice."""
    events.append(
        OrderRefreshed(order.order_id, order.account_id, order.left_lots, order.hidden_lots)
    )


def cancelled(order: RestingOrder, code: str, events: list[Event]) -> None:
    """Append the event of an order's end; the order has already left the book."""
    events.append(end_of(order, code))


def end_of(order: RestingOrder, code: str) -> OrderCancelled:
    """Return the event of an order that ended before it was filled."""
    return OrderCancelled(
        order.order_id,
        order.account_id,
        order.side,
        order.price_ticks,
        order.left_lots + order.hidden_lots,
        code,
    )


def fillable(book: Book, taker: RestingOrder) -> bool:
    """Return whether all lots of the taker would trade now.

    Liquidity ends at the first order with which self-trade prevention forbids a match. With
    STP_CANCEL_RESTING such an order is skipped instead. The totals of the levels are checked first,
    so the walk over orders costs no more than the fill.
    """
    opposite = book.sides[taker.side][1]
    limit_key = taker.price_ticks * opposite.sign
    reach: list[Level] = []
    missing_lots = taker.left_lots
    own_account, own_group = _owner(taker)
    skips = taker.self_trade == STP_CANCEL_RESTING
    for key in reversed(opposite.keys):
        if key < limit_key or (missing_lots <= 0 and not skips):
            break
        level = opposite.levels[key]
        reach.append(level)
        missing_lots -= level.quantity_lots + level.hidden_lots
    if missing_lots > 0:
        return False
    missing_lots = taker.left_lots
    hidden_lots = 0  # of the current level: these trade after all that the level shows
    for maker in chain.from_iterable(reach):
        if missing_lots <= 0:
            break
        if maker.prev is None:
            missing_lots -= hidden_lots
            hidden_lots = 0
        if maker.account_id == own_account or maker.group_id == own_group:
            if skips:
                continue
            return missing_lots <= 0
        missing_lots -= maker.left_lots
        hidden_lots += maker.hidden_lots
    return missing_lots - hidden_lots <= 0
