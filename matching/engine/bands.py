"""Price bands: how far a price may be from the reference, and how the reference moves.

The reference follows the mean price of the trades of the last five minutes. It moves only when the
mean differs by `move_ppm` and `move_after_ms` have passed since its last move (`SetBand`). Time
comes from the commands and never runs backwards here.
"""

from typing import Final

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.codes import BAND_REST
from matching.engine.components import ALWAYS_MS, ANY_TICKS, Band
from matching.engine.messages import (
    AUCTION,
    BUY,
    HALT,
    OPEN,
    PHASE_CALL,
    PHASE_LIMIT,
    PHASE_NONE,
    PHASE_PAUSE,
    PPM,
    Event,
    OrderCancelled,
    PhaseChanged,
    ReferenceMoved,
    SetBand,
)
from matching.engine.versions import RULES_MENDED

MEAN_OVER_MS: Final = 300_000
# Trades are summed in buckets of this length: five minutes are 60 sums, however many trades.
BUCKET_MS: Final = 5_000


def is_outside(advanced: AdvancedState, side: int, price_ticks: int) -> bool:
    """Return whether a limit price is outside the band on its owner's worse side.

    With `both_sides` a limit beyond either edge is outside.
    """
    band = advanced.band
    if band is None or not band.reference_ticks:
        return False
    low_ticks, high_ticks = edges(advanced, band)
    if band.both_sides:
        return not low_ticks <= price_ticks <= high_ticks
    return price_ticks > high_ticks if side == BUY else price_ticks < low_ticks


def clamped(advanced: AdvancedState, side: int, price_ticks: int) -> int:
    """Return the bound of a market order, moved into the band."""
    band = advanced.band
    if band is None or not band.reference_ticks:
        return price_ticks
    low_ticks, high_ticks = edges(advanced, band)
    return min(price_ticks, high_ticks) if side == BUY else max(price_ticks, low_ticks)


def edge_passed(book: Book, advanced: AdvancedState, side: int) -> int:
    """Return the edge beyond which the best order opposite to `side` stands, or 0 if it does not.

    An auction left such orders there, or the band moved. They trade at the edge.
    """
    band = advanced.band
    if band is None or not band.reference_ticks or book.rules < RULES_MENDED:
        return 0
    low_ticks, high_ticks = edges(advanced, band)
    if side == BUY:
        keys = book.asks.keys
        return low_ticks if keys and -keys[-1] < low_ticks else 0
    keys = book.bids.keys
    return high_ticks if keys and keys[-1] > high_ticks else 0


def is_barred(book: Book, side: int, price_ticks: int, edge_ticks: int) -> bool:
    """Return whether a limit crosses orders beyond the edge but does not accept the edge price."""
    if not edge_ticks:
        return False
    opposite = book.sides[side][1]
    accepts_edge = price_ticks >= edge_ticks if side == BUY else price_ticks <= edge_ticks
    return not accepts_edge and opposite.keys[-1] >= price_ticks * opposite.sign


def edges(advanced: AdvancedState, band: Band) -> tuple[int, int]:
    """Return the lowest and the highest price that may trade; computed anew after a move only."""
    kept = advanced.edges
    if kept is None or kept[0] != band.reference_ticks or kept[1] != band.band_ppm:
        kept = advanced.edges = (band.reference_ticks, band.band_ppm, band.low(), band.high())
    return kept[2:]


def set_band(book: Book, advanced: AdvancedState, command: SetBand, events: list[Event]) -> None:
    """Set or remove the band; the reference stays unless the command has a new one."""
    assert 0 <= command.band_ppm < PPM
    assert command.reference_ticks >= 0
    assert command.move_ppm >= 0
    assert command.move_after_ms >= 0
    assert min(command.limit_ms, command.pause_ms, command.call_ms) >= 0
    old = advanced.band
    if command.band_ppm == 0:
        if old is not None and old.phase != PHASE_NONE:
            events.append(PhaseChanged(book.symbol_id, PHASE_NONE, 0))
        advanced.band = None
        _forget_samples(advanced)
        return
    band = advanced.band = Band(
        command.band_ppm,
        command.move_ppm,
        command.move_after_ms,
        command.limit_ms,
        command.pause_ms,
        command.call_ms,
        both_sides=command.both_sides,
    )
    if old is not None:
        band.reference_ticks, band.moved_ms = old.reference_ticks, old.moved_ms
        band.phase, band.due_ms = old.phase, old.due_ms
        if band.phase == PHASE_LIMIT and not band.limit_ms and book.rules >= RULES_MENDED:
            phase_set(book, advanced, PHASE_NONE, 0, events)
    if command.reference_ticks:
        reference_set(book, advanced, command.reference_ticks, events)


def reference_set(
    book: Book, advanced: AdvancedState, reference_ticks: int, events: list[Event]
) -> None:
    """Set the reference and start the mean anew."""
    band = advanced.band
    assert band is not None
    band.reference_ticks = reference_ticks
    band.moved_ms = advanced.now_ms
    _forget_samples(advanced)
    events.append(ReferenceMoved(book.symbol_id, reference_ticks))


def traded(advanced: AdvancedState, prices: list[int]) -> None:
    """Add the trades of one step to the mean; trades of auctions are not added."""
    bucket = advanced.now_ms // BUCKET_MS
    ticks, trades = sum(prices), len(prices)
    samples = advanced.samples
    if samples and samples[-1][0] == bucket:
        samples[-1][1] += ticks
        samples[-1][2] += trades
    else:
        samples.append([bucket, ticks, trades])
    advanced.sum_ticks += ticks
    advanced.sum_trades += trades


def _forget_samples(advanced: AdvancedState) -> None:
    advanced.samples.clear()
    advanced.sum_ticks = advanced.sum_trades = 0


def reference_follow(book: Book, advanced: AdvancedState, events: list[Event]) -> None:
    """Drop old trades from the mean, and move the reference to the mean if it is due to move."""
    band, samples = advanced.band, advanced.samples
    assert band is not None
    oldest = (advanced.now_ms - MEAN_OVER_MS) // BUCKET_MS
    while samples and samples[0][0] <= oldest:
        _, ticks, trades = samples.popleft()
        advanced.sum_ticks -= ticks
        advanced.sum_trades -= trades
    if not samples:
        return
    mean = advanced.sum_ticks // advanced.sum_trades
    reference = band.reference_ticks
    if reference:
        if advanced.now_ms - band.moved_ms < band.move_after_ms or mean == reference:
            return
        if abs(mean - reference) * PPM < reference * band.move_ppm:
            return
    band.reference_ticks = mean
    band.moved_ms = advanced.now_ms
    events.append(ReferenceMoved(book.symbol_id, mean))


def limit_state_follow(
    book: Book, advanced: AdvancedState, events: list[Event], start: int
) -> None:
    """Begin a limit state when the market presses against the band; end it when it no longer does.

    The market presses while a best price stands at the band's edge, or if a market order of this
    step ended at the edge. The limit state ends only when both sides have an order inside the band.
    """
    band = advanced.band
    assert band is not None
    phase = band.phase
    if not band.limit_ms or not band.reference_ticks or phase > PHASE_LIMIT:
        return
    wants_out = _is_at_edge(book, *edges(advanced, band)) or _was_hit(events, start)
    if phase == PHASE_NONE:
        if wants_out:
            phase_set(book, advanced, PHASE_LIMIT, advanced.now_ms + band.limit_ms, events)
    elif not wants_out and _has_room(book, band):
        phase_set(book, advanced, PHASE_NONE, 0, events)


def _is_at_edge(book: Book, low_ticks: int, high_ticks: int) -> bool:
    bids, asks = book.bids.keys, book.asks.keys
    return bool(bids and bids[-1] >= high_ticks) or bool(asks and -asks[-1] <= low_ticks)


def _was_hit(events: list[Event], start: int) -> bool:
    for at in range(start, len(events)):
        event = events[at]
        if type(event) is OrderCancelled and event.code == BAND_REST:
            return True
    return False


def _has_room(book: Book, band: Band) -> bool:
    """Return whether both sides have an order that may trade inside the band."""
    bid, ask = book.best_bid(), book.best_ask()
    return bid is not None and bid >= band.low() and ask is not None and ask <= band.high()


def at_rest(book: Book, advanced: AdvancedState, band: Band) -> tuple[int, int, int]:
    """Return until when, above and below which prices plain orders do not touch the band.

    The time is 0 where each command has to look at the band. A trade is always followed up.
    """
    if band.phase != PHASE_NONE:
        return 0, 0, 0
    until_ms = ALWAYS_MS
    if advanced.samples:
        until_ms = advanced.samples[0][0] * BUCKET_MS + MEAN_OVER_MS
        due_ms = band.moved_ms + band.move_after_ms
        if advanced.now_ms < due_ms:
            until_ms = min(until_ms, due_ms)
    if not band.reference_ticks:
        return until_ms, 0, ANY_TICKS
    low_ticks, high_ticks = edges(advanced, band)
    if _is_at_edge(book, low_ticks, high_ticks):
        return 0, 0, 0
    return until_ms, low_ticks, high_ticks


def phase_set(
    book: Book, advanced: AdvancedState, phase: int, due_ms: int, events: list[Event]
) -> None:
    """Set the phase of the volatility interruption and the time at which it is over."""
    band = advanced.band
    assert band is not None
    band.phase = phase
    band.due_ms = due_ms
    events.append(PhaseChanged(book.symbol_id, phase, due_ms))


def phase_next(book: Book, advanced: AdvancedState, events: list[Event]) -> int | None:
    """Enter the interruption's next phase if it is due; return the market state to move to."""
    band = advanced.band
    if band is None or band.phase == PHASE_NONE or advanced.now_ms < band.due_ms:
        return None
    if band.phase == PHASE_LIMIT:
        phase_set(book, advanced, PHASE_PAUSE, advanced.now_ms + band.pause_ms, events)
        return HALT
    if band.phase == PHASE_PAUSE:
        phase_set(book, advanced, PHASE_CALL, advanced.now_ms + band.call_ms, events)
        return AUCTION
    phase_set(book, advanced, PHASE_NONE, 0, events)
    return OPEN
