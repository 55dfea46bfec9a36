"""Price bands, limit states and interruptions (22). Prices outside of it are *beyond*."""

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
        return 0, NO_EDGE  # 22.5: without a band nothing is bound
    width = Fraction(band.reference * band.width_ppm, 1_000_000)
    low = -((width - band.reference) // 1)  # rounded up
    return max(1, int(low)), int((band.reference + width) // 1)


def trade_price(market: Market, maker: Order) -> int:
    """2.3, 22.9: the price of the order in the book, and never one beyond the band's edge."""
    low, high = edges(market)
    return min(maker.price, high) if maker.side == m.BUY else max(maker.price, low)


def bound_of(market: Market, order: Order) -> int:
    """22.2, 22.3: a market order never trades beyond the band."""
    if not order.is_market:
        return order.price
    low, high = edges(market)
    return min(order.price, high) if order.side == m.BUY else max(order.price, low)


def is_refused(market: Market, order: Order, price: int) -> bool:
    """22.1, 22.9: a limit outside the band, or one that meets an order beyond it too early."""
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
    """22.4, 22.6: after each step the band may move, and a limit state begin or end."""
    if market.state == m.OPEN:
        move(market)
        watch_edges(market)


def move(market: Market) -> None:
    """22.4: the reference goes to the mean, by its step at least and after its time."""
    band, mean = market.band, mean_price(market)
    if not band.width_ppm or mean in (0, band.reference):
        return
    is_small = abs(mean - band.reference) * 1_000_000 < band.reference * band.move_ppm
    is_early = market.now_ms - band.moved_ms < band.move_after_ms
    if not band.reference or not (is_small or is_early):
        set_reference(market, mean)


def mean_price(market: Market) -> int:
    """22.4: the mean trade price of the last five minutes, in steps of five seconds; 0: none."""
    since = market.now_ms // STEP_MS - MEAN_OVER_MS // STEP_MS
    recent = [price for ms, price in market.band.trades if ms // STEP_MS > since]
    return sum(recent) // len(recent) if recent else 0


def set_reference(market: Market, price: int) -> None:
    market.band.reference, market.band.moved_ms = price, market.now_ms
    market.tell(m.ReferenceMoved(market.symbol, price))


def begin_at(market: Market, price: int) -> None:
    """22.5, 22.8: a reference that is given, or an auction's price; the mean begins anew."""
    market.band.trades = []
    set_reference(market, price)


def watch_edges(market: Market) -> None:
    """22.6: begin or end a limit state."""
    band = market.band
    if not band.width_ppm or not band.reference:
        return
    stopped, market.stopped_at_band = market.stopped_at_band, False
    if market.phase == m.PHASE_NONE and band.limit_ms and (stopped or is_at_edge(market)):
        set_phase(market, m.PHASE_LIMIT, market.now_ms + band.limit_ms)
    elif market.phase == m.PHASE_LIMIT and not stopped and both_can_trade(market):
        set_phase(market, m.PHASE_NONE, 0)


def is_at_edge(market: Market) -> bool:
    """22.6."""
    low, high = edges(market)
    buy, sell = market.best(m.BUY), market.best(m.SELL)
    return buy >= high or 0 < sell <= low


def both_can_trade(market: Market) -> bool:
    """22.6: no side stands at the edge, and each finds the other inside the band."""
    low, high = edges(market)
    buy, sell = market.best(m.BUY), market.best(m.SELL)
    return not is_at_edge(market) and buy >= low and 0 < sell <= high


def set_phase(market: Market, phase: int, due_ms: int) -> None:
    market.phase, market.phase_due_ms = phase, due_ms
    market.tell(m.PhaseChanged(market.symbol, phase, due_ms))


def end_interruption(market: Market) -> None:
    """22.7: a person's command ends it."""
    if market.phase != m.PHASE_NONE:
        set_phase(market, m.PHASE_NONE, 0)


def set_band(market: Market, command: m.SetBand) -> None:
    """22.5, 22.10, 22.11."""
    is_limit_over = market.phase == m.PHASE_LIMIT and not command.limit_ms
    if not command.band_ppm or is_limit_over:
        end_interruption(market)
    market.band = new_band(market.band, command)
    if command.band_ppm and command.reference_ticks:
        begin_at(market, command.reference_ticks)
    market.tell(m.CommandDone(command.command_id, market.symbol))


def new_band(old: Band, command: m.SetBand) -> Band:
    """22.5: the width of the command around the reference there was; width 0: no band."""
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
