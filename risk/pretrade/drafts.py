"""The draft of an order that is not accepted yet, in ticks and lots. Orders and risk read it."""

from msgspec import Struct

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.engine.messages import Terms


class OrderDraft(Struct, frozen=True):
    """A client's order, parsed and on the grid of ticks and lots, without a reservation yet.

    An order with a limit has `price_ticks` > 0 and `quantity_lots` > 0. An order that trades as a
    market order has `quantity_lots` > 0, or `quote_atoms` > 0 (only a plain market buy); its
    `price_ticks` is the protective bound, 0 until known. `reference_ticks` is the best opposite
    price at the check of a market order, from which its slippage is measured. `terms` are the terms
    of the engine's command, None for a plain order.
    """

    symbol_id: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    price_ticks: int
    quantity_lots: int
    quote_atoms: int
    client_order_id: str
    self_trade: SelfTradePrevention
    terms: Terms | None = None
    reference_ticks: int = 0
