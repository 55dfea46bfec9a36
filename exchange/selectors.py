"""Reference data for the hot paths: symbols, assets and fees, read together and kept for seconds.

A change in the back office reaches every process within CATALOGUE_AGE_MAX_S. What must hold at
once (a halt) is a command that the engine obeys in sequence; this copy only refuses early.
"""

import threading
import time
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from exchange.domain.enums import SymbolState
from exchange.domain.symbol_rules import SymbolRules
from exchange.models import Asset, FeeSchedule, Symbol

CATALOGUE_AGE_MAX_S: Final = 2.0
MAKER_FEE_PPM: Final = 500
TAKER_FEE_PPM: Final = 1_000
UNITS_MAX: Final = (1 << 63) - 1  # commands and rows keep ticks and lots in signed 64 bits
# A level of the book and an auction add up the lots of many orders, and an event carries the sum:
# there is room for 32,768 orders of the largest size.
ORDER_LOTS_MAX: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fees in ppm of the notional, charged in quote."""

    maker_ppm: int
    taker_ppm: int


DEFAULT_FEES: Final = FeeRates(MAKER_FEE_PPM, TAKER_FEE_PPM)


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """An asset's code and its decimal places."""

    id: int
    code: str
    scale: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One consistent reading of the reference data."""

    symbols: dict[str, SymbolRules]  # listed only
    symbols_by_id: dict[int, SymbolRules]  # all
    assets: dict[int, AssetInfo]
    fees: dict[tuple[int | None, int | None], FeeRates]  # (tier id, symbol id), None: any

    def fee_rates(self, *, tier_id: int | None, symbol_id: int) -> FeeRates:
        """The most specific schedule: tier and symbol, then tier, then symbol, then any."""
        fees = self.fees
        return (
            fees.get((tier_id, symbol_id))
            or fees.get((tier_id, None))
            or fees.get((None, symbol_id))
            or fees.get((None, None))
            or DEFAULT_FEES
        )


class _Kept:
    """The last reading and when it was made. One thread refreshes; the others use what is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.catalogue: Catalogue | None = None
        self.read_at = 0.0


_kept = _Kept()


def catalogue() -> Catalogue:
    """The reference data, at most CATALOGUE_AGE_MAX_S old (older while a refresh is under way)."""
    kept = _kept
    if kept.catalogue is not None and time.monotonic() - kept.read_at < CATALOGUE_AGE_MAX_S:
        return kept.catalogue
    if not kept.lock.acquire(blocking=kept.catalogue is None):
        assert kept.catalogue is not None
        return kept.catalogue
    try:
        if kept.catalogue is None or time.monotonic() - kept.read_at >= CATALOGUE_AGE_MAX_S:
            kept.catalogue = catalogue_read()
            kept.read_at = time.monotonic()
        return kept.catalogue
    finally:
        kept.lock.release()


def catalogue_forget() -> None:
    """Make the next reader read afresh (after a change in this process, and between tests)."""
    with _kept.lock:
        _kept.catalogue = None


def catalogue_read() -> Catalogue:
    """Read the reference data from the database."""
    symbols = list(Symbol.objects.select_related("base", "quote").order_by("position", "code"))
    rules = [(symbol, symbol_rules(symbol)) for symbol in symbols]
    return Catalogue(
        symbols={symbol.code: one for symbol, one in rules if symbol.is_listed},
        symbols_by_id={one.units.symbol_id: one for _, one in rules},
        assets={
            asset.pk: AssetInfo(asset.pk, asset.code, asset.scale) for asset in Asset.objects.all()
        },
        fees={
            (fee.tier_id, fee.symbol_id): FeeRates(fee.maker_ppm, fee.taker_ppm)
            for fee in FeeSchedule.objects.all()
        },
    )


def symbol_rules(symbol: Symbol) -> SymbolRules:
    """A symbol's limits as integers; `base` and `quote` must be loaded.

    Limits that are off the grid are rounded inwards, so that what they promise still holds.
    """
    units = symbol.units()
    return SymbolRules(
        units=units,
        partition_id=symbol.partition_id,
        state=SymbolState(symbol.state),
        price_ticks_min=max(1, _units_up(symbol.price_min, units.tick)),
        price_ticks_max=min(int(symbol.price_max // units.tick), UNITS_MAX),
        quantity_lots_min=max(1, _units_up(symbol.quantity_min, units.lot)),
        quantity_lots_max=min(int(symbol.quantity_max // units.lot), ORDER_LOTS_MAX),
        notional_atoms_min=_units_up(symbol.notional_min, units.quote_decimal(1)),
        band_ppm=symbol.band_ppm,
        slippage_ppm=symbol.slippage_ppm,
        open_orders_max=symbol.open_orders_max,
        stop_orders_max=symbol.stop_orders_max,
        band_move_ppm=symbol.band_move_ppm,
        band_move_after_s=symbol.band_move_after_s,
        interruption_limit_s=symbol.interruption_limit_s,
        interruption_pause_s=symbol.interruption_pause_s,
        interruption_auction_s=symbol.interruption_auction_s,
    )


def _units_up(value: Decimal, unit: Decimal) -> int:
    return int((value / unit).to_integral_value(rounding=ROUND_CEILING))
