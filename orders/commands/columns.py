"""The columns of orders_order that hold an order's terms, which only some orders have.

TERMS is one table, in the order of the fields of the engine's Terms. All code that writes these
columns, reads them or lists them in SQL uses TERMS. A new term needs a field of Terms, a column of
the model and a line here (docs/adr/0034).
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from exchange.domain.enums import OrderType
from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits, plain
from matching.engine.messages import OrderAmended, Terms
from orders.commands.words import SOURCE_TEXTS, SOURCES, TRIGGERS


class Codec(NamedTuple):
    """How a column stores one kind of value: its SQL type, and the functions to write and read it.

    `read` is the SQL template whose JSON value `decode` takes.
    """

    sql: str
    encode: Callable[[Any, SymbolUnits], Any]
    decode: Callable[[Any, SymbolUnits], Any]
    read: str = "{}"


class Column(NamedTuple):
    """The column of one term and its codec.

    `of_any_type`: an order without a trigger may have this term too.
    """

    name: str
    codec: Codec
    of_any_type: bool = False


PRICE: Final = Codec(
    "numeric",
    lambda ticks, units: plain(units.price(ticks)),
    lambda text, units: units.price_ticks(Decimal(text)),
    "{}::text",
)
QUANTITY: Final = Codec(
    "numeric",
    lambda lots, units: plain(units.quantity(lots)),
    lambda text, units: units.quantity_lots(Decimal(text)),
    "{}::text",
)
PPM: Final = Codec("integer", lambda ppm, _: ppm, lambda ppm, _: ppm)
FLAG: Final = Codec("boolean", lambda is_set, _: is_set, lambda is_set, _: is_set)
SOURCE: Final = Codec("text", lambda code, _: SOURCE_TEXTS[code], lambda word, _: SOURCES[word])
TIME: Final = Codec(
    "timestamptz",
    lambda time_ms, _: time_ms_text(time_ms),
    lambda time_ms, _: time_ms,
    "(extract(epoch FROM {}) * 1000)::bigint",
)

# By field of Terms. The trigger has no column, because the order's type determines it.
TERMS: Final[Mapping[str, Column]] = {
    "stop_ticks": Column("stop_price", PRICE),
    "source": Column("trigger_source", SOURCE),
    "trail_ticks": Column("trail_amount", PRICE),
    "trail_ppm": Column("trail_ppm", PPM),
    "activation_ticks": Column("activation_price", PRICE),
    "display_lots": Column("display_quantity", QUANTITY, of_any_type=True),
    "expire_ms": Column("expires_at", TIME, of_any_type=True),
    "reprice": Column("reprice", FLAG, of_any_type=True),
    "bound_ppm": Column("bound_trail_ppm", PPM),
    "reprice_limit_ticks": Column("reprice_limit", PRICE),
}
assert ("trigger", *TERMS) == Terms.__struct_fields__, "each of an order's terms has its column"
_DEFAULTS: Final = Terms.__struct_defaults__[1:]
_COLUMNS: Final = tuple(TERMS.values())
# The columns of an order without terms.
NO_TERMS_ROW: Final[Mapping[str, Any]] = {
    column.name: False if column.codec is FLAG else None for column in _COLUMNS
}


def _record(columns: Iterable[Column]) -> str:
    """Return the columns with their SQL types, as a record names them."""
    return ", ".join(f"{column.name} {column.codec.sql}" for column in columns)


# The columns in SQL: with types, as names, and as an INSERT selects them from a record.
TERMS_RECORD: Final = _record(_COLUMNS)
TERMS_COLUMNS: Final = tuple(column.name for column in _COLUMNS)
TERMS_NAMES: Final = ", ".join(TERMS_COLUMNS)
TERMS_VALUES: Final = ", ".join(
    f"coalesce({column.name}, false)" if column.codec is FLAG else column.name
    for column in _COLUMNS
)
# The terms that an amend may give are those of its event. Their columns in the UPDATE of an order.
AMENDABLE: Final = tuple(name for name in OrderAmended.__struct_fields__ if name in TERMS)
_AMENDABLE_COLUMNS: Final = tuple(TERMS[name] for name in AMENDABLE)
AMENDABLE_RECORD: Final = _record(_AMENDABLE_COLUMNS)
AMENDABLE_VALUES: Final = ", ".join(
    f"{column.name} = COALESCE(new.{column.name}, kept.{column.name})"
    for column in _AMENDABLE_COLUMNS
)


def terms_row(terms: Terms, units: SymbolUnits) -> dict[str, Any]:
    """Return the columns of an order with these terms, without the columns that stay empty."""
    _, *values = msgspec.structs.astuple(terms)
    row = {
        column.name: column.codec.encode(value, units)
        for column, value in zip(_COLUMNS, values, strict=True)
        if value
    }
    if terms.trigger:  # with a trigger, the row names the default source too
        row[TERMS["source"].name] = SOURCE_TEXTS[terms.source]
    return row


def amended_row(terms: Mapping[str, int], units: SymbolUnits) -> dict[str, Any]:
    """Return the columns of the terms that amends gave an order, by field of Terms."""
    return {
        (column := TERMS[field]).name: column.codec.encode(value, units)
        for field, value in terms.items()
    }


# The terms as one JSON value, NULL for most orders: reading ten empty columns would cost as much
# as reading the rest of the order.
_HAS_TERMS: Final = " OR ".join(
    column.name if column.codec is FLAG else f"{column.name} IS NOT NULL"
    for column in _COLUMNS
    if column.of_any_type
)
_AS_JSON: Final = ", ".join(
    f"'{column.name}', {column.codec.read.format(column.name)}" for column in _COLUMNS
)
TERMS_JSON: Final = (
    f"CASE WHEN type NOT IN ('limit', 'market') OR {_HAS_TERMS}"
    f" THEN json_build_object({_AS_JSON}) END"
)


def terms_from_row(kind: OrderType, row: Mapping[str, Any], units: SymbolUnits) -> Terms:
    """Return the terms of an order of this type from the value of TERMS_JSON."""
    values = (
        column.codec.decode(row[column.name], units) if row[column.name] else default
        for column, default in zip(_COLUMNS, _DEFAULTS, strict=True)
    )
    return Terms(TRIGGERS[kind], *values)
