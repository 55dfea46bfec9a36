"""An order not yet accepted, in the integer world of its symbol. Orders and risk read it."""

from dataclasses import dataclass

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.engine.messages import Terms


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What a client asked for, parsed and on the grid of ticks and lots, not yet funded.

    An order with a limit has `price_ticks` > 0 and `quantity_lots` > 0. One that trades as a
    market order has `quantity_lots`, or, a plain market buy, `quote_atoms` > 0; its `price_ticks`
    is the protective bound (0 until known). `reference_ticks` is the best opposite price when a
    market order was accepted: what its slippage is measured from. `terms` is None for plain orders;
    else they are the engine's, as its command will carry them.
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
