"""Parsers of single values from text: words, decimals on a symbol's grid, times. Pure.

Units: prices in ticks, quantities in lots, money in atoms of the quote asset, times in Unix
milliseconds. Every refusal names its field.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from exchange.domain import grammar
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import NotExact, decimal_to_atoms, plain

_DECIMAL: Final = re.compile(grammar.DECIMAL, re.ASCII).fullmatch
_UNIX_MS: Final = re.compile(grammar.UNIX_MS, re.ASCII).fullmatch
_RFC_3339: Final = re.compile(grammar.RFC_3339, re.ASCII).fullmatch
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

# Commands and rows keep ticks, lots and tick-lots in signed 64 bits.
UNITS_MAX: Final = (1 << 63) - 1
TIME_MS_MAX: Final = 10**14 - 1  # in the year 5138

W = TypeVar("W")


def word_of(words: Mapping[str, W], text: str, field: str) -> W:
    """Return the value of a word. Raises request.field_invalid with the list of known words."""
    word = words.get(text)
    if word is None:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID, field=field, rule=f"one of {', '.join(words)}"
        )
    return word


def decimal_parse(text: str, *, field: str) -> Decimal:
    """Parse a decimal in plain notation, 0 or more. Raises request.field_invalid for the field."""
    if _DECIMAL(text) is None:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID,
            field=field,
            rule="a plain decimal of at most 20 digits and 18 places, without sign or exponent",
        )
    return Decimal(text)


def price_ticks_of(text: str, rules: SymbolRules, field: str = "price") -> int:
    """Parse a price on the grid and inside the symbol's static limits, in ticks."""
    price = decimal_parse(text, field=field)
    units = rules.units
    try:
        price_ticks = units.price_ticks(price)
    except NotExact as error:
        raise DomainError(Code.ORDER_PRICE_OFF_TICK, field=field, tick=plain(units.tick)) from error
    if price_ticks < rules.price_ticks_min:
        minimum = plain(units.price(rules.price_ticks_min))
        raise DomainError(Code.ORDER_PRICE_BELOW_MIN, field=field, minimum=minimum)
    if price_ticks > rules.price_ticks_max:
        maximum = plain(units.price(rules.price_ticks_max))
        raise DomainError(Code.ORDER_PRICE_ABOVE_MAX, field=field, maximum=maximum)
    return price_ticks


def quantity_lots_of(text: str, rules: SymbolRules) -> int:
    """Parse an order's quantity inside the symbol's limits, in lots."""
    quantity = decimal_parse(text, field="quantity")
    units = rules.units
    try:
        quantity_lots = units.quantity_lots(quantity)
    except NotExact as error:
        raise DomainError(
            Code.ORDER_QUANTITY_OFF_LOT, field="quantity", lot=plain(units.lot)
        ) from error
    if quantity_lots < rules.quantity_lots_min:
        minimum = plain(units.quantity(rules.quantity_lots_min))
        raise DomainError(Code.ORDER_QUANTITY_BELOW_MIN, field="quantity", minimum=minimum)
    if quantity_lots > rules.quantity_lots_max:
        maximum = plain(units.quantity(rules.quantity_lots_max))
        raise DomainError(Code.ORDER_QUANTITY_ABOVE_MAX, field="quantity", maximum=maximum)
    return quantity_lots


def quote_atoms_of(text: str, rules: SymbolRules) -> int:
    """Parse the quote amount that a market buy may spend, in quote atoms."""
    amount = decimal_parse(text, field="quote_amount")
    units = rules.units
    try:
        quote_atoms = decimal_to_atoms(amount, units.quote_scale)
    except NotExact as error:
        raise DomainError(
            Code.ORDER_QUOTE_AMOUNT_INVALID,
            field="quote_amount",
            unit=plain(units.quote_decimal(1)),
        ) from error
    if quote_atoms < max(rules.notional_atoms_min, units.quote_atoms_per_ticklot):
        minimum = plain(units.quote_decimal(rules.notional_atoms_min))
        raise DomainError(Code.ORDER_NOTIONAL_BELOW_MIN, field="quote_amount", minimum=minimum)
    ticklots_max = min(rules.price_ticks_max * rules.quantity_lots_max, UNITS_MAX)
    if quote_atoms > ticklots_max * units.quote_atoms_per_ticklot:
        maximum = plain(units.quantity(rules.quantity_lots_max))
        raise DomainError(Code.ORDER_QUANTITY_ABOVE_MAX, field="quote_amount", maximum=maximum)
    return quote_atoms


def time_ms_parse(text: str) -> int | None:
    """Parse an RFC 3339 time with a zone, or Unix milliseconds as digits, to Unix milliseconds.

    Fractions of a millisecond are cut off. Returns None for any other text.
    """
    if _UNIX_MS(text) is not None:
        return int(text)
    if _RFC_3339(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # for example month 13 or hour 24
        return None
    return (moment - _UNIX) // _MILLISECOND
