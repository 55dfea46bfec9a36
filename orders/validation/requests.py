"""Orders and amends as a client words them: decimals and times are still text.

The API's description is generated from these structs. The annotations only describe: decoding
checks types and names, and validation checks the rest with refusals of its own.
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce, TriggerSource
from exchange.domain.grammar import DecimalText

TRAIL_BPS_MAX: Final = 9_999  # a trail of 100 % would reach price 0
# An incoming order may take all parts of an iceberg at once, with one trade for each part.
ICEBERG_PARTS_MAX: Final = 100


def _one_of(kind: type[StrEnum]) -> Meta:
    """Describe a text that is one of the words of an enum."""
    return Meta(extra_json_schema={"enum": [word.value for word in kind]})


class OrderTermsRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order of a list: as a new order, without the symbol; gtc, and no market order."""

    side: Annotated[str, _one_of(Side)]
    type: Annotated[str, _one_of(OrderType)]
    client_order_id: Annotated[
        str,
        Meta(
            description="1 to 64 of A-Z a-z 0-9 . _ : - ; the same request again is the same order."
        ),
    ]
    price: DecimalText | None = None
    quantity: DecimalText | None = None
    quote_amount: DecimalText | None = None
    time_in_force: Annotated[str, _one_of(TimeInForce)] | None = None
    post_only: Annotated[
        bool, Meta(description="Only of an order with a limit that may rest (gtc, gtd).")
    ] = False
    self_trade_prevention: Annotated[
        Annotated[str, _one_of(SelfTradePrevention)] | None,
        Meta(description="Default: what the user has set; `none` is for market makers."),
    ] = None
    stop_price: Annotated[
        DecimalText | None, Meta(description="The price that triggers a stop or take-profit order.")
    ] = None
    trigger_source: Annotated[
        Annotated[str, _one_of(TriggerSource)] | None,
        Meta(
            description="What a trigger watches: the last trade (default), or the best price it"
            " would trade with."
        ),
    ] = None
    trail_amount: Annotated[
        DecimalText | None,
        Meta(description="How far a trailing stop stays behind the price it follows."),
    ] = None
    trail_bps: Annotated[
        int | None,
        Meta(
            description="The trail in basis points (hundredths of a percent) of the price that it"
            f" follows, 1 to {TRAIL_BPS_MAX}: a JSON number.",
            extra_json_schema={"minimum": 1, "maximum": TRAIL_BPS_MAX},
        ),
    ] = None
    activation_price: Annotated[
        DecimalText | None,
        Meta(description="From this price on a trailing stop follows; without it, at once."),
    ] = None
    display_quantity: Annotated[
        DecimalText | None,
        Meta(
            description="What an iceberg shows at a time: less than its quantity, and no less than"
            f" a part in {ICEBERG_PARTS_MAX} of it."
        ),
    ] = None
    expires_at: Annotated[
        str | None,
        Meta(
            description="When a gtd order ends: RFC 3339 with a zone, or milliseconds since 1970 as"
            " digits in a string. Of gtd orders alone, and always."
        ),
    ] = None
    reprice: Annotated[
        bool,
        Meta(
            description="A post-only order that would trade moves to one tick before the best"
            " price."
        ),
    ] = False
    bound_price: Annotated[
        DecimalText | None,
        Meta(
            description="The worst price that an order without a limit may trade at. Default: the"
            " symbol's slippage bound beyond the best price, or beyond the stop price."
        ),
    ] = None


# Fields that only some orders have. Stored fingerprints depend on their order
# (orders/validation/fingerprint.py).
TERM_FIELDS: Final = OrderTermsRequest.__struct_fields__[
    OrderTermsRequest.__struct_fields__.index("stop_price") :
]


class OrderRequest(OrderTermsRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new order.

    | type | takes | time in force |
    |---|---|---|
    | `limit` | price, quantity | gtc (default), gtd, ioc, fok |
    | `market` | quantity, or to buy a quote amount | ioc |
    | `stop_limit`, `take_profit_limit` | stop_price, price, quantity | as limit |
    | `stop_market`, `take_profit` | stop_price, quantity | gtc (default), gtd |
    | `trailing_stop` | trail_amount or trail_bps, quantity | gtc (default), gtd |

    Fields that a type does not take are refused by name.
    """

    symbol: str


class AmendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """New terms of an order; what is left out stays. At least one of the decimals is needed.
    `quantity` includes what is filled."""

    price: DecimalText | None = None
    quantity: DecimalText | None = None
    keep_priority: Annotated[
        bool, Meta(description="For a smaller quantity alone: the order keeps its place.")
    ] = False
    stop_price: Annotated[
        DecimalText | None,
        Meta(
            description="Of a stop or take-profit order that waits. The default bound moves with"
            " it."
        ),
    ] = None
    display_quantity: Annotated[
        DecimalText | None, Meta(description="What the order shows at a time from now on.")
    ] = None
