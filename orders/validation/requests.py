"""Orders and amends as a client words them: decimals and times are still text."""

from msgspec import Struct


class OrderTermsRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of an order but its symbol, which the orders of a list share.

    `trail_bps` is a whole number of basis points (hundredths of a percent).
    """

    side: str
    type: str
    client_order_id: str
    price: str | None = None
    quantity: str | None = None
    quote_amount: str | None = None
    time_in_force: str | None = None
    post_only: bool = False
    self_trade_prevention: str | None = None
    stop_price: str | None = None
    trigger_source: str | None = None
    trail_amount: str | None = None
    trail_bps: int | None = None
    activation_price: str | None = None
    display_quantity: str | None = None
    expires_at: str | None = None
    reprice: bool = False
    bound_price: str | None = None


class OrderRequest(OrderTermsRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new order."""

    symbol: str


class AmendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """New terms of an order; what is None stays."""

    price: str | None = None
    quantity: str | None = None
    keep_priority: bool = False
    stop_price: str | None = None
    display_quantity: str | None = None
