"""An order not yet accepted, in the integer world of its symbol. Orders and risk read it."""

from dataclasses import dataclass

from exchange.domain.enums import (
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggerSource,
)


@dataclass(frozen=True, slots=True)
class DraftTerms:
    """What only some orders have; 0 and False mean: not this one.

    A stop or take-profit has `stop_ticks`, a trailing stop one of `trail_ticks` and `trail_ppm`.
    `expires_ms` is Unix time in milliseconds. `bound_ppm` lets a trailing stop's bound follow it;
    a repriced order moves no further than `reprice_limit_ticks`.
    """

    stop_ticks: int = 0
    source: TriggerSource = TriggerSource.LAST
    trail_ticks: int = 0
    trail_ppm: int = 0
    activation_ticks: int = 0
    display_lots: int = 0
    expires_ms: int = 0
    reprice: bool = False
    bound_ppm: int = 0
    reprice_limit_ticks: int = 0


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What a client asked for, parsed and on the grid of ticks and lots, not yet funded.

    An order with a limit has `price_ticks` > 0 and `quantity_lots` > 0. One that trades as a
    market order has `quantity_lots`, or, a plain market buy, `quote_atoms` > 0; its `price_ticks`
    is the protective bound (0 until known). `reference_ticks` is the best opposite price when a
    market order was accepted: what its slippage is measured from. `terms` is None for plain orders.
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
    terms: DraftTerms | None = None
    reference_ticks: int = 0
