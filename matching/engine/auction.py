"""Changes of the market state, and the auction that ends a time in which orders only gather.

The auction price is the price at which most lots trade; of several, the price with the smallest
surplus; of these, the price closest to the reference; of these, the lowest. Prevented matches are
taken out before the price is found (matching/engine/auction_price.py).
"""

from itertools import accumulate
from typing import Final, NamedTuple

from matching.engine import bands
from matching.engine.advanced import AdvancedState
from matching.engine.auction_price import counted
from matching.engine.book import Book
from matching.engine.cancels import end_order, sweep
from matching.engine.codes import SYMBOL_CLOSED
from matching.engine.components import LAST, Uncross
from matching.engine.execution import cancelled, is_same_owner, refreshed
from matching.engine.messages import (
    CLOSED,
    MARKET_REST,
    OPEN,
    PHASE_NONE,
    POST_ONLY,
    SELF_TRADE,
    STP_CANCEL_INCOMING,
    AuctionUncrossed,
    CommandRefused,
    Event,
    SelfTradePrevented,
    SetState,
    StateChanged,
    Trade,
)
from matching.engine.resting import BookSide, RestingOrder
from matching.engine.states import AUCTIONS, GATHERING, STATE_CODES
from matching.engine.triggers import price_seen
from matching.engine.versions import RULES_MENDED

_STATES: Final = range(OPEN, CLOSED + 1)


class Indication(NamedTuple):
    """The result that an auction would have now. `surplus_lots` > 0: buyers would be left over."""

    price_ticks: int
    quantity_lots: int
    surplus_lots: int


def set_state(book: Book, advanced: AdvancedState, command: SetState, events: list[Event]) -> None:
    """Move the symbol to another market state and end a volatility interruption.

    A closed symbol refuses every other state with SYMBOL_CLOSED.
    """
    assert command.state in _STATES
    if book.state == CLOSED and command.state != CLOSED:
        events.append(CommandRefused(command.command_id, 0, SYMBOL_CLOSED))
        return
    if advanced.band is not None and advanced.band.phase != PHASE_NONE:
        bands.phase_set(book, advanced, PHASE_NONE, 0, events)
    move(book, advanced, command.state, events)


def move(book: Book, advanced: AdvancedState, state: int, events: list[Event]) -> None:
    """Enter a market state: through an auction where orders gathered or cross, else at once."""
    if state in (OPEN, POST_ONLY) and (book.state in GATHERING or _is_crossed(book)):
        advanced.uncross = Uncross(state)
        return
    _enter(book, advanced, state, events)


def _enter(book: Book, advanced: AdvancedState, state: int, events: list[Event]) -> None:
    book.state = state
    if state != OPEN:
        advanced.is_last_fresh = False  # triggers wait for a trade after reopening
    events.append(StateChanged(book.symbol_id, state))
    if state == CLOSED:
        sweep(advanced, -1, SYMBOL_CLOSED)
    elif advanced.at_open and state not in AUCTIONS and book.rules >= RULES_MENDED:
        code = STATE_CODES.get(state, MARKET_REST)
        advanced.cancels.extend((order_id, code) for order_id in sorted(advanced.at_open))


def _is_crossed(book: Book) -> bool:
    bid, ask = book.best_bid(), book.best_ask()
    return bid is not None and ask is not None and bid >= ask


def uncross_step(book: Book, advanced: AdvancedState, sequence: int, events: list[Event]) -> None:
    """Make or prevent the auction's next match, or end the auction where no orders cross."""
    uncross = advanced.uncross
    assert uncross is not None
    if book.rules < RULES_MENDED:
        _uncross_step_first(book, advanced, uncross, sequence, events)
        return
    if not _is_crossed(book):
        _uncross_end(book, advanced, uncross, events)
        return
    older, younger = _fronts(book)
    if is_same_owner(younger, older):
        _prevent(book, older, younger, older.price_ticks, events)
        return
    # Only at the first match: the price already counts every later one.
    if not -book.asks.keys[-1] <= uncross.price_ticks <= book.bids.keys[-1]:
        uncross.price_ticks = indication(book, advanced).price_ticks
    uncross.traded_lots += _match(book, older, younger, uncross.price_ticks, sequence, events)


def _fronts(book: Book) -> tuple[RestingOrder, RestingOrder]:
    """Return the first order of each side's best level, the older order first."""
    bids, asks = book.bids, book.asks
    bid, ask = bids.levels[bids.keys[-1]].head, asks.levels[asks.keys[-1]].head
    assert bid is not None
    assert ask is not None
    return (bid, ask) if bid.age < ask.age else (ask, bid)


def _uncross_step_first(
    book: Book, advanced: AdvancedState, uncross: Uncross, sequence: int, events: list[Event]
) -> None:
    """Take a step under RULES_FIRST: find the price before prevented matches, and again after."""
    bids, asks = book.bids, book.asks
    price_ticks = uncross.price_ticks
    if not price_ticks or not (
        bids.keys and asks.keys and bids.keys[-1] >= price_ticks >= -asks.keys[-1]
    ):
        if not _is_crossed(book):
            _uncross_end(book, advanced, uncross, events)
            return
        uncross.price_ticks = price_ticks = indication(book, advanced).price_ticks
        uncross.first_ticks = uncross.first_ticks or price_ticks
    older, younger = _fronts(book)
    if is_same_owner(younger, older):
        _prevent(book, older, younger, price_ticks, events)
    else:
        uncross.traded_lots += _match(book, older, younger, price_ticks, sequence, events)


def _prevent(
    book: Book, older: RestingOrder, younger: RestingOrder, price_ticks: int, events: list[Event]
) -> None:
    """End the younger order of a prevented match. Both orders rest, so no mode is asked."""
    events.append(
        SelfTradePrevented(
            older.order_id,
            younger.order_id,
            older.account_id,
            younger.account_id,
            younger.side,
            price_ticks,
            min(older.left_lots, younger.left_lots),
            STP_CANCEL_INCOMING,
        )
    )
    book.remove(younger)
    cancelled(younger, SELF_TRADE, events)


def _match(
    book: Book,
    older: RestingOrder,
    younger: RestingOrder,
    price_ticks: int,
    sequence: int,
    events: list[Event],
) -> int:
    lots = min(older.left_lots, younger.left_lots)
    both = [order for order in (older, younger) if order.left_lots == lots]
    events.append(
        Trade(
            older.order_id,
            younger.order_id,
            older.account_id,
            younger.account_id,
            younger.side,
            price_ticks,
            lots,
            book.fill(older, lots, sequence),
            book.fill(younger, lots, sequence),
        )
    )
    for order in both:
        if order.left_lots:
            refreshed(order, events)
    return lots


def _uncross_end(
    book: Book, advanced: AdvancedState, uncross: Uncross, events: list[Event]
) -> None:
    advanced.uncross = None
    for order_id in sorted(advanced.at_open):
        end_order(book, advanced, order_id, MARKET_REST, events)
    price_ticks = (uncross.first_ticks or uncross.price_ticks) if uncross.traded_lots else 0
    events.append(AuctionUncrossed(book.symbol_id, price_ticks, uncross.traded_lots))
    _enter(book, advanced, uncross.state_after, events)
    if not uncross.traded_lots:
        return
    advanced.last_ticks = uncross.price_ticks
    advanced.is_last_fresh = book.state == OPEN
    if advanced.band is not None:
        bands.reference_set(book, advanced, uncross.price_ticks, events)
    if advanced.is_last_fresh:
        price_seen(advanced, LAST, uncross.price_ticks)


def indication(book: Book, advanced: AdvancedState | None) -> Indication:
    """Return the result of an auction now; all zero where nothing would trade.

    O(orders at crossed prices) under the rules of now.
    """
    bid, ask = book.best_bid(), book.best_ask()
    if bid is None or ask is None or bid < ask:
        return Indication(0, 0, 0)
    if book.rules < RULES_MENDED:
        bought, sold = _totals(book.bids, ask), _totals(book.asks, -bid)
    else:
        bought, sold = counted(book, bid, ask)
        if not bought or not sold or max(bought) < min(sold):
            return Indication(0, 0, 0)
        bid, ask = max(bought), min(sold)
    reference_ticks = _reference(advanced)
    # Volume and surplus are constant between two order prices: of each gap its ends are enough.
    prices = {near for price in (*bought, *sold) for near in (price - 1, price, price + 1)}
    prices.add(reference_ticks)
    candidates = sorted(price for price in prices if ask <= price <= bid)
    sold_lots = list(accumulate(sold.get(price, 0) for price in candidates))
    bought_lots = list(accumulate(bought.get(price, 0) for price in reversed(candidates)))[::-1]
    best = min(
        (-min(buy, sell), abs(buy - sell), abs(price - reference_ticks), price, buy - sell)
        for price, buy, sell in zip(candidates, bought_lots, sold_lots, strict=True)
    )
    return Indication(best[3], -best[0], best[4])


def _reference(advanced: AdvancedState | None) -> int:
    if advanced is None:
        return 0
    band_ticks = advanced.band.reference_ticks if advanced.band is not None else 0
    return band_ticks or advanced.last_ticks


def _totals(side: BookSide, worst_key: int) -> dict[int, int]:
    """Return the open lots by price at the prices that cross, hidden lots included."""
    totals: dict[int, int] = {}
    for key in reversed(side.keys):
        if key < worst_key:
            break
        level = side.levels[key]
        totals[key * side.sign] = level.quantity_lots + level.hidden_lots
    return totals
