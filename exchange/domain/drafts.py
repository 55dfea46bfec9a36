"""An order not yet accepted, in the integer world of its symbol. Orders and risk read it."""

from dataclasses import dataclass

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What a client asked for, parsed and on the grid of ticks and lots, not yet funded.

    A limit order has `price_ticks` > 0 and `quantity_lots` > 0. A market order has either
    `quantity_lots` or `quote_atoms` > 0; its `price_ticks` is the protective bound (0 until known).
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
