"""Exact conversion between decimals at the edges and integers inside; no other module converts.

Words: an *atom* is the smallest unit of an asset (10**-scale); a *tick* is the price step, a
*lot* the quantity step of a symbol; a *tick-lot* is one tick times one lot, in quote units.
Every symbol is built so that a tick-lot is a whole number of quote atoms: money is exact by
construction, not by rounding.
"""

import decimal
from dataclasses import dataclass
from decimal import Decimal

DECIMAL_DIGITS = 60  # NUMERIC(38,18) times NUMERIC(38,18) must not round silently
MONEY_DIGITS_MAX = 38
MONEY_SCALE_MAX = 18
PPM = 1_000_000


def widen_decimal_context() -> None:
    """Make products of money exact in this thread and in every thread started later."""
    for context in (decimal.DefaultContext, decimal.getcontext()):
        context.prec = DECIMAL_DIGITS
        context.traps[decimal.FloatOperation] = True


widen_decimal_context()

# The context of arithmetic that must not depend on the context of its thread.
EXACT = decimal.Context(
    prec=DECIMAL_DIGITS, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.FloatOperation]
)


class NotExact(ValueError):
    """The value is not a whole number of the unit."""


def percent_text(ppm: int) -> str:
    """Return millionths as a percentage without its sign, such as 0.05 for 500."""
    return plain(Decimal(ppm).scaleb(-4))


def to_units(value: Decimal, unit: Decimal) -> int:
    """Return how many of `unit` make up `value`; raises NotExact unless it is a whole number."""
    assert unit > 0
    try:
        count = EXACT.divide(value, unit)
    except decimal.Inexact as error:
        raise NotExact from error
    whole = int(count)
    if whole != count:
        raise NotExact
    return whole


def from_units(count: int, unit: Decimal) -> Decimal:
    """Return `count` units as a decimal."""
    return EXACT.multiply(Decimal(count), unit)


def atoms_to_decimal(atoms: int, scale: int) -> Decimal:
    """Return atoms of an asset with this scale as a decimal."""
    return EXACT.scaleb(Decimal(atoms), -scale)


def decimal_to_atoms(value: Decimal, scale: int) -> int:
    """Return a decimal in atoms; raises NotExact when it has more places than the asset."""
    scaled = EXACT.scaleb(value, scale)
    whole = int(scaled)
    if whole != scaled:
        raise NotExact
    return whole


def plain(value: Decimal) -> str:
    """Return plain notation without trailing zeros, as in JSON: 1E+2 -> 100, 0.500 -> 0.5."""
    if not value:
        return "0"
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class SymbolUnits:
    """The units of one symbol: conversions of its prices, quantities and amounts to integers.

    `price_ticks * quantity_lots * quote_atoms_per_ticklot` is a notional in quote atoms, exactly.
    """

    symbol_id: int
    code: str
    base_asset_id: int
    quote_asset_id: int
    base_scale: int
    quote_scale: int
    tick: Decimal
    lot: Decimal
    base_atoms_per_lot: int
    quote_atoms_per_ticklot: int

    def asset_code(self, asset_id: int) -> str:
        """Return the code of the symbol's base or quote asset."""
        base, _, quote = self.code.partition("-")
        return quote if asset_id == self.quote_asset_id else base

    @classmethod
    def build(
        cls,
        *,
        symbol_id: int,
        code: str,
        base_asset_id: int,
        quote_asset_id: int,
        base_scale: int,
        quote_scale: int,
        tick: Decimal,
        lot: Decimal,
    ) -> "SymbolUnits":
        """Derive the factors; raises NotExact when tick x lot is finer than a quote atom."""
        return cls(
            symbol_id=symbol_id,
            code=code,
            base_asset_id=base_asset_id,
            quote_asset_id=quote_asset_id,
            base_scale=base_scale,
            quote_scale=quote_scale,
            tick=tick,
            lot=lot,
            base_atoms_per_lot=decimal_to_atoms(lot, base_scale),
            quote_atoms_per_ticklot=decimal_to_atoms(EXACT.multiply(tick, lot), quote_scale),
        )

    def price_ticks(self, price: Decimal) -> int:
        """Return a price in ticks; raises NotExact off the tick."""
        return to_units(price, self.tick)

    def quantity_lots(self, quantity: Decimal) -> int:
        """Return a quantity in lots; raises NotExact off the lot."""
        return to_units(quantity, self.lot)

    def price(self, price_ticks: int) -> Decimal:
        """Return a price from ticks."""
        return from_units(price_ticks, self.tick)

    def quantity(self, quantity_lots: int) -> Decimal:
        """Return a quantity from lots."""
        return from_units(quantity_lots, self.lot)

    def notional_atoms(self, price_ticks: int, quantity_lots: int) -> int:
        """Return price times quantity in quote atoms."""
        return price_ticks * quantity_lots * self.quote_atoms_per_ticklot

    def base_atoms(self, quantity_lots: int) -> int:
        """Return a quantity in base atoms."""
        return quantity_lots * self.base_atoms_per_lot

    def quote_decimal(self, atoms: int) -> Decimal:
        """Return an amount of the quote asset from its atoms."""
        return atoms_to_decimal(atoms, self.quote_scale)
