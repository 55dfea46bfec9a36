"""Market states: which of them gather orders, and which orders each of them takes."""

from typing import Final

from matching.engine.book import Book
from matching.engine.codes import (
    SYMBOL_CANCEL_ONLY,
    SYMBOL_CLOSED,
    SYMBOL_IN_AUCTION,
    SYMBOL_POST_ONLY,
    SYMBOL_PRE_OPEN,
)
from matching.engine.messages import (
    AUCTION,
    AUCTION_CUTOFF,
    CANCEL_ONLY,
    CLOSED,
    GTC,
    HALT,
    OPEN,
    POST_ONLY,
    PRE_OPEN,
    SYMBOL_HALTED,
    TRIGGER_NONE,
    Place,
)

STATE_CODES: Final = {
    HALT: SYMBOL_HALTED,
    PRE_OPEN: SYMBOL_PRE_OPEN,
    AUCTION: SYMBOL_IN_AUCTION,
    AUCTION_CUTOFF: SYMBOL_IN_AUCTION,
    POST_ONLY: SYMBOL_POST_ONLY,
    CANCEL_ONLY: SYMBOL_CANCEL_ONLY,
    CLOSED: SYMBOL_CLOSED,
}
# States in which orders gather without trading.
GATHERING: Final = frozenset({PRE_OPEN, AUCTION, AUCTION_CUTOFF})
# Gathering states that take market orders, which live as long as the auction.
AUCTIONS: Final = frozenset({AUCTION, AUCTION_CUTOFF})


def waits(command: Place) -> bool:
    """Return whether the order waits for a trigger."""
    return command.terms is not None and command.terms.trigger != TRIGGER_NONE


def state_refusal(book: Book, command: Place) -> str | None:
    """Return the code of a market state that does not take this order, or None."""
    state = book.state
    if state == OPEN:
        return None
    is_taken = False
    if state in GATHERING:
        is_taken = waits(command) or command.time_in_force == GTC
        if state != PRE_OPEN and command.market and not command.budget_ticklots:
            is_taken = True
    elif state == POST_ONLY:
        is_taken = command.post_only and not waits(command)
    return None if is_taken else STATE_CODES[state]
