"""Market states and changes between them (10, 12.5, 20)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import auction, bands, ending
from tests.oracles.rules.market import GATHERING, STATE_CODES, Market


def set_state(market: Market, command: m.SetState) -> None:
    """Change the state; closed is final, all others follow each other (10.4, 20.7, 22.7)."""
    if market.state == m.CLOSED and command.state != m.CLOSED:
        market.tell(m.CommandRefused(command.command_id, 0, codes.SYMBOL_CLOSED))
        return
    bands.end_interruption(market)
    enter(market, command.state)


def enter(market: Market, state: int) -> None:
    """Enter a state; gathered orders are uncrossed before (12.5, 20.7-20.10, 22.8)."""
    price = 0
    if state in (m.OPEN, m.POST_ONLY) and (market.gathered or market.state in GATHERING):
        price = uncross(market)
    if state != m.OPEN or market.state != m.OPEN:
        market.is_last_fresh = False
    market.gathered = market.gathered or state in GATHERING
    market.state = state
    market.tell(m.StateChanged(market.symbol, state))
    if state in (m.HALT, m.PRE_OPEN, m.CANCEL_ONLY):
        auction.end_market_orders(market, STATE_CODES[state])
    if state == m.CLOSED:
        ending.end_all(market, lambda order: True, codes.SYMBOL_CLOSED, by_price=True)
    if price and market.band.width_ppm:
        bands.begin_at(market, price)  # an auction's price is the new reference


def uncross(market: Market) -> int:
    """Uncross: trades and their lists, ends of market orders, then the price (20.8-20.10)."""
    is_told = market.state in GATHERING or auction.is_crossed(market)
    market.gathered = False
    found = auction.outcome(market)
    auction.walk(market, found.price)
    auction.end_market_orders(market, m.MARKET_REST)
    if is_told:
        market.tell(m.AuctionUncrossed(market.symbol, found.price, found.lots))
    return found.price
