"""Reference data by name, for tests that only need a symbol to exist."""

from decimal import Decimal
from typing import Any

from exchange.models import Asset, Symbol

SCALES = {"USDT": 6}


def asset_make(code: str) -> Asset:
    defaults = {"name": code.title(), "scale": SCALES.get(code, 8)}
    return Asset.objects.get_or_create(code=code, defaults=defaults)[0]


def symbol_make(code: str, **changes: Any) -> Symbol:
    """A listed symbol: tick 0.01, lot 0.0001; `changes` override any column."""
    base, _, quote = code.partition("-")
    values = {
        "code": code,
        "base": asset_make(base),
        "quote": asset_make(quote),
        "tick": Decimal("0.01"),
        "lot": Decimal("0.0001"),
        "quantity_min": Decimal("0.0001"),
        "quantity_max": Decimal(1_000),
        "notional_min": Decimal(1),
        "price_min": Decimal("0.01"),
        "price_max": Decimal(1_000_000),
    }
    return Symbol.objects.create(**{**values, **changes})
