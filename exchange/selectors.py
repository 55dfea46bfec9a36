"""Reference data for the hot paths: symbols, assets and fees, read together and kept for seconds.

A change in the back office reaches every process within CATALOGUE_AGE_MAX_S, or within
CATALOGUE_STALE_MAX_S while another thread reads. A change that must hold at once (a halt) is a
command, which the engine applies in sequence; this copy only refuses early. A symbol that the copy
does not know is looked for in a new reading, so that nobody is told that a new symbol is unknown.
"""

import time
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import psycopg

from exchange.domain.codes import Code
from exchange.domain.enums import SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import SymbolUnits
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.copies import Copy
from exchange.models import Asset, FeeSchedule, Symbol, Tier

CATALOGUE_AGE_MAX_S: Final = 2.0
# Up to this age no thread waits for the thread that reads anew; beyond it (no reads for a while)
# every thread waits.
CATALOGUE_STALE_MAX_S: Final = 2 * CATALOGUE_AGE_MAX_S
# Readings for symbols that the copy does not know, in a process: whoever asks for symbols that
# nobody has can cause no more, and then a new symbol is unknown for a quarter of a second.
CATALOGUE_RENEWAL_RATE: Final = Rate(per_second=4, burst=8)
MAKER_FEE_PPM: Final = 500
TAKER_FEE_PPM: Final = 1_000
UNITS_MAX: Final = (1 << 63) - 1  # commands and rows keep ticks and lots in signed 64 bits
# A level of the book and an auction add up the lots of many orders, and an event carries the sum in
# 64 bits: they have room for 32,768 orders of the largest size.
ORDER_LOTS_MAX: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fee rates in ppm of the notional, charged in the quote asset."""

    maker_ppm: int
    taker_ppm: int


FeeKey = tuple[int | None, int | None]  # (tier id, symbol id); None: any
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
    symbols_by_code: dict[str, SymbolRules]  # all
    symbols_by_id: dict[int, SymbolRules]  # all
    assets: dict[int, AssetInfo]
    fees: dict[FeeKey, FeeRates]
    tier_default_id: int | None  # of users without a tier
    states: frozenset[SymbolState] = frozenset()  # all that a symbol is in

    def fee_rates(self, *, tier_id: int | None, symbol_id: int) -> FeeRates:
        """Return the fee rates of a tier on a symbol; None: of the default tier."""
        key = self.fee_key(tier_id=tier_id, symbol_id=symbol_id)
        return self.fees[key] if key is not None else DEFAULT_FEES

    def fee_key(self, *, tier_id: int | None, symbol_id: int) -> FeeKey | None:
        """Return the key of the first row: tier and symbol, tier, symbol, any; None: no row."""
        if tier_id is None:
            tier_id = self.tier_default_id
        for key in (
            (tier_id, symbol_id),
            (tier_id, None),
            (None, symbol_id),
            (None, None),
        ):
            if key in self.fees:
                return key
        return None


def catalogue() -> Catalogue:
    """Return the reference data, at most CATALOGUE_STALE_MAX_S old."""
    return catalogue_copy.get()


def catalogue_with(*codes: str) -> Catalogue:
    """Return the reference data, in a thread read anew where a symbol is unknown to the copy.

    Without a reading within CATALOGUE_RENEWAL_RATE it is the copy.
    """
    kept = catalogue()
    if all(code in kept.symbols_by_code for code in codes):
        return kept
    return catalogue_copy.renewed(_may_renew)


def _may_renew() -> bool:
    return catalogue_renewals.take("", CATALOGUE_RENEWAL_RATE, 1).wait_ms == 0


def symbol_known(code: str) -> SymbolRules:
    """Return the rules of a symbol that exists, listed or not; raises symbol.unknown.

    For orders and trades that exist already: they outlive the symbol's listing.
    """
    rules = catalogue().symbols_by_code.get(code)
    if rules is None:
        rules = catalogue_with(code).symbols_by_code.get(code)
    if rules is None:
        raise DomainError(Code.SYMBOL_UNKNOWN, field="symbol", symbol=code[:25])
    return rules


def symbol_by_id(symbol_id: int) -> SymbolRules:
    """Return the rules of a symbol that an order or a trade names, so that it must exist.

    A symbol may be newer than this process's copy, which is then read anew, in a thread.
    """
    rules = catalogue().symbols_by_id.get(symbol_id)
    return catalogue_copy.renewed().symbols_by_id[symbol_id] if rules is None else rules


def symbol_listed(code: str) -> SymbolRules:
    """Return the rules of a symbol open to new orders; raises symbol.unknown, symbol.not_listed."""
    rules = symbol_known(code)
    listing_check(rules)
    return rules


def listing_check(rules: SymbolRules) -> None:
    """Raise symbol.not_listed for a symbol that takes no new orders."""
    if not rules.is_listed:
        raise DomainError(Code.SYMBOL_NOT_LISTED, field="symbol", symbol=rules.units.code)


def catalogue_forget() -> None:
    """Make the next reader read anew (after a change in this process, and between tests)."""
    catalogue_copy.forget()


def renewals_forget() -> None:
    """Forget how often the copy was read for symbols that it does not know (between tests)."""
    catalogue_renewals.forget()


def catalogue_read() -> Catalogue:
    """Read the reference data from the database."""
    symbols = list(Symbol.objects.select_related("base", "quote").order_by("position", "code"))
    pairs = [(symbol, symbol_rules(symbol)) for symbol in symbols]
    return Catalogue(
        symbols={symbol.code: rules for symbol, rules in pairs if symbol.is_listed},
        symbols_by_code={symbol.code: rules for symbol, rules in pairs},
        symbols_by_id={rules.units.symbol_id: rules for _, rules in pairs},
        assets={
            asset.pk: AssetInfo(asset.pk, asset.code, asset.scale) for asset in Asset.objects.all()
        },
        fees={
            (fee.tier_id, fee.symbol_id): FeeRates(fee.maker_ppm, fee.taker_ppm)
            for fee in FeeSchedule.objects.all()
        },
        tier_default_id=Tier.objects.filter(is_default=True).values_list("pk", flat=True).first(),
        states=frozenset(rules.state for _, rules in pairs),
    )


catalogue_copy: Final = Copy(
    catalogue_read, age_max_s=CATALOGUE_AGE_MAX_S, stale_max_s=CATALOGUE_STALE_MAX_S
)
catalogue_renewals: Final = LocalBuckets(lambda: time.monotonic_ns() // 1_000_000)


def symbol_rules(symbol: Symbol) -> SymbolRules:
    """Return a symbol's limits as integers; `base` and `quote` must be loaded.

    Limits off the grid are rounded inwards, so that no order can pass beyond them.
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
        band_both_sides=symbol.band_both_sides,
        band_move_ppm=symbol.band_move_ppm,
        band_move_after_s=symbol.band_move_after_s,
        interruption_limit_s=symbol.interruption_limit_s,
        interruption_pause_s=symbol.interruption_pause_s,
        interruption_auction_s=symbol.interruption_auction_s,
        is_listed=symbol.is_listed,
    )


def _units_up(value: Decimal, unit: Decimal) -> int:
    return int((value / unit).to_integral_value(rounding=ROUND_CEILING))


_SYMBOLS_OF_PARTITION: Final = """
SELECT symbol.id, symbol.code, symbol.state, symbol.tick, symbol.lot,
    base.id, quote.id, base.scale, quote.scale
FROM exchange_symbol AS symbol
JOIN exchange_asset AS base ON base.id = symbol.base_id
JOIN exchange_asset AS quote ON quote.id = symbol.quote_id
WHERE symbol.partition_id = %s
"""


def symbols_of_partition(
    connection: psycopg.Connection, partition_id: int
) -> list[tuple[SymbolUnits, SymbolState]]:
    """Return the symbols of a partition with their stored market states."""
    rows = connection.execute(_SYMBOLS_OF_PARTITION, (partition_id,)).fetchall()
    return [(_units_of(row), SymbolState(row[2])) for row in rows]


def units_load(connection: psycopg.Connection, partition_id: int) -> dict[int, SymbolUnits]:
    """Return the units of a partition's symbols by symbol id."""
    rows = connection.execute(_SYMBOLS_OF_PARTITION, (partition_id,), prepare=True)
    return {row[0]: _units_of(row) for row in rows}


def _units_of(row: tuple[Any, ...]) -> SymbolUnits:
    return SymbolUnits.build(
        symbol_id=row[0],
        code=row[1],
        tick=row[3],
        lot=row[4],
        base_asset_id=row[5],
        quote_asset_id=row[6],
        base_scale=row[7],
        quote_scale=row[8],
    )
