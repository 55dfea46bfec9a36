"""Parts of an order as the API and the feed show it, from the columns of orders_order. Pure.

Decimals come as Decimal from the database, and as text from intake, which has them before
the row is written.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from exchange.domain.enums import OrderStatus, Side
from exchange.domain.units import EXACT, MONEY_SCALE_MAX, plain
from orders.validation.terms import PPM_PER_BPS

SLIPPAGE_PLACES: Final = 6

_AVERAGE_STEP: Final = Decimal(1).scaleb(-MONEY_SCALE_MAX)
_SLIPPAGE_STEP: Final = Decimal(1).scaleb(-SLIPPAGE_PLACES)

# Columns that only some orders fill. All are empty in most rows, which are the hot path.
RARE: Final = (
    "bound_price",
    "stop_price",
    "trigger_source",
    "display_quantity",
    "expires_at",
    "reprice",
    "list_id",
)
NO_TERMS: Final[Mapping[str, Any]] = {
    "stop_price": None,
    "trigger_source": None,
    "trail_amount": None,
    "trail_bps": None,
    "activation_price": None,
    "trail_stop_price": None,
    "trail_bound_price": None,
    "display_quantity": None,
    "expires_at": None,
    "reprice": False,
    "bound_price": None,
    "reference_price": None,
    "slippage": None,
    "list_id": None,
}
ENDED_EARLY: Final = frozenset({OrderStatus.EXPIRED, OrderStatus.CANCELLED})


def terms_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms of a row that fills any RARE column; other rows show NO_TERMS."""
    read = row.get
    trail_ppm, expires_at, list_id = read("trail_ppm"), read("expires_at"), read("list_id")
    return {
        "stop_price": decimal_text(read("stop_price")),
        "trigger_source": read("trigger_source"),
        "trail_amount": decimal_text(read("trail_amount")),
        "trail_bps": trail_ppm // PPM_PER_BPS if trail_ppm else None,
        "activation_price": decimal_text(read("activation_price")),
        "trail_stop_price": decimal_text(read("trail_stop_price")),
        "trail_bound_price": decimal_text(read("trail_bound_price")),
        "display_quantity": _display_text(read("display_quantity"), row["quantity"]),
        "expires_at": time_text(expires_at) if expires_at else None,
        "reprice": bool(read("reprice")),
        "bound_price": decimal_text(read("bound_price")),
        "reference_price": decimal_text(read("reference_price")),
        "slippage": slippage_text(row),
        "list_id": str(list_id) if list_id else None,
    }


def _display_text(
    display_quantity: Decimal | str | None, quantity: Decimal | str | None
) -> str | None:
    """Return the most that an iceberg shows; never more than a quantity that was made smaller."""
    if display_quantity is None or quantity is None:
        return decimal_text(display_quantity)
    return decimal_text(min(display_quantity, quantity, key=Decimal))


def slippage_text(row: Mapping[str, Any]) -> str | None:
    """Return by what fraction the average price is worse than the reference; below 0: better.

    It is computed from the exact average and rounded half even to SLIPPAGE_PLACES.
    """
    reference, filled = row.get("reference_price"), row["filled"]
    if not reference or filled == "0" or not Decimal(filled):
        return None
    average = Decimal(row["filled_quote"]) / Decimal(filled)
    excess = average / Decimal(reference) - 1
    adverse = excess if row["side"] == Side.BUY else -excess
    return plain(adverse.quantize(_SLIPPAGE_STEP, rounding=ROUND_HALF_EVEN))


def decimal_text(value: Decimal | str | None) -> str | None:
    """Return a decimal as JSON carries it: plain notation in a string."""
    return value if value is None or isinstance(value, str) else plain(value)


def left_text(quantity: Decimal | str | None, filled: Decimal | str) -> str | None:
    """Return the unfilled quantity; None for an order bounded by a quote amount."""
    if quantity is None:  # bounded by a quote amount: what is left has no size
        return None
    if filled == "0":
        return decimal_text(quantity)
    return plain(EXACT.subtract(Decimal(quantity), Decimal(filled)))


def average_text(filled: Decimal | str, filled_quote: Decimal | str) -> str | None:
    """Return quote per base over all fills, rounded half even; only slippage is rounded too."""
    if filled == "0" or not Decimal(filled):
        return None
    average = Decimal(filled_quote) / Decimal(filled)
    return plain(average.quantize(_AVERAGE_STEP, rounding=ROUND_HALF_EVEN))


def time_text(moment: datetime | str) -> str:
    """A time as RFC 3339 UTC text with milliseconds."""
    if isinstance(moment, str):
        return moment
    return f"{moment.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
