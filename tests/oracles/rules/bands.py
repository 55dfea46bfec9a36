"""Price bands, limit states and interruptions (22). A price outside the band is *beyond* it."""

from fractions import Fraction

from matching.engine import messages as m
from tests.oracles.rules.market import Band, Market
from tests.oracles.rules.order import Order

MEAN_OVER_MS = 300_000
STEP_MS = 5_000
NO_EDGE = 1 << 62


def edges(market: Market) -> tuple[int, int]:
    """Return the lowest and the highest price inside the band."""
    band = market.band
    if not band.width_ppm or not band.reference:
        return 0, NO_EDGE  # 22.5: without a band every price is allowed
    width = Fraction(band.reference * band.width_ppm, 1_000_000)
    low = -((width - band.reference) // 1)  # rounded up
    return max(1, int(low)), int((band.reference + width) // 1)


def trade_price(market: Market, maker: Order) -> int:
    """Return the maker's price, or the band's edge if that price is beyond it (2.3, 22.9)."""
    low, high = edges(market)
    return min(maker.price, high) if maker.side == m.BUY else max(maker.price, low)


def bound_of(market: Market, order: Order) -> int:
    """Return the price up to which an order trades; for a market order in the band (22.2, 22.3)."""
    if not order.is_market:
        return order.price
    low, high = edges(market)
    return min(order.price, high) if order.side == m.BUY else max(order.price, low)


def is_refused(market: Market, order: Order, price: int) -> bool:
    """Tell whether the band refuses a limit: outside the band, or met only at an edge that it does
    not accept (22.1, 22.9).
    """
    low, high = edges(market)
    is_worse = price > high if order.side == m.BUY else price < low
    if is_worse or (market.band.both_sides and not low <= price <= high):
        return True
    maker = market.front(order)
    if maker is None or market.state != m.OPEN or not market.would_trade(order, price):
        return False
    edge = trade_price(market, maker)
    return edge > price if order.side == m.BUY else edge < price


def follow(market: Market) -> None:
    """Move the band, and begin or end a limit state, after each step (22.4, 22.6)."""
    if market.state == m.OPEN:
        move(market)
        watch_edges(market)


def move(market: Market) -> None:
    """Move the reference to the mean, if it is far enough and the time has passed (22.4)."""
    band, mean = market.band, mean_price(market)
    if not band.width_ppm or mean in (0, band.reference):
        return
    is_small = abs(mean - band.reference) * 1_000_000 < band.reference * band.move_ppm
    is_early = market.now_ms - band.moved_ms < band.move_after_ms
    if not band.reference or not (is_small or is_early):
        set_reference(market, mean)


def mean_price(market: Market) -> int:
    """Return the mean trade price of the last five minutes, by steps of 5 s; 0: no trade (22.4)."""
    since = market.now_ms // STEP_MS - MEAN_OVER_MS // STEP_MS
    recent = [price for ms, price in market.band.trades if ms // STEP_MS > since]
    return sum(recent) // len(recent) if recent else 0


def set_reference(market: Market, price: int) -> None:
    market.band.reference, market.band.moved_ms = price, market.now_ms
    market.tell(m.ReferenceMoved(market.symbol, price))


def begin_at(market: Market, price: int) -> None:
    """Set a given reference or an auction's price; the mean begins anew (22.5, 22.8)."""
    market.band.trades = []
    set_reference(market, price)


def watch_edges(market: Market) -> None:
    """Begin or end a limit state (22.6)."""
    band = market.band
    if not band.width_ppm or not band.reference:
        return
    stopped, market.stopped_at_band = market.stopped_at_band, False
    if market.phase == m.PHASE_NONE and band.limit_ms and (stopped or is_at_edge(market)):
        set_phase(market, m.PHASE_LIMIT, market.now_ms + band.limit_ms)
    elif market.phase == m.PHASE_LIMIT and not stopped and both_can_trade(market):
        set_phase(market, m.PHASE_NONE, 0)


def is_at_edge(market: Market) -> bool:
    """Tell whether a best price is at or beyond the band's edge (22.6)."""
    low, high = edges(market)
    buy, sell = market.best(m.BUY), market.best(m.SELL)
    return buy >= high or 0 < sell <= low


def both_can_trade(market: Market) -> bool:
    """Tell whether both sides have orders that can trade inside the band (22.6)."""
    low, high = edges(market)
    buy, sell = market.best(m.BUY), market.best(m.SELL)
    return not is_at_edge(market) and buy >= low and 0 < sell <= high


def set_phase(market: Market, phase: int, due_ms: int) -> None:
    market.phase, market.phase_due_ms = phase, due_ms
    market.tell(m.PhaseChanged(market.symbol, phase, due_ms))


def end_interruption(market: Market) -> None:
    """End an interruption by command (22.7)."""
    if market.phase != m.PHASE_NONE:
        set_phase(market, m.PHASE_NONE, 0)


def set_band(market: Market, command: m.SetBand) -> None:
    """Set or remove a band (22.5, 22.10, 22.11)."""
    is_limit_over = market.phase == m.PHASE_LIMIT and not command.limit_ms
    if not command.band_ppm or is_limit_over:
        end_interruption(market)
    market.band = new_band(market.band, command)
    if command.band_ppm and command.reference_ticks:
        begin_at(market, command.reference_ticks)
    market.tell(m.CommandDone(command.command_id, market.symbol))


def new_band(old: Band, command: m.SetBand) -> Band:
    """Return the command's band around the old reference; width 0: no band (22.5)."""
    if not command.band_ppm:
        return Band()
    return Band(
        width_ppm=command.band_ppm,
        reference=old.reference,
        moved_ms=old.moved_ms,
        move_ppm=command.move_ppm,
        move_after_ms=command.move_after_ms,
        limit_ms=command.limit_ms,
        pause_ms=command.pause_ms,
        call_ms=command.call_ms,
        both_sides=command.both_sides,
        trades=old.trades,
    )
