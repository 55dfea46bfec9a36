"""The rules of a symbol as plain integers, for order validation and the risk rules."""

from dataclasses import dataclass

from exchange.domain.enums import SymbolState
from exchange.domain.units import SymbolUnits


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """Limits of one symbol in ticks, lots and quote atoms; `units` converts.

    `band_ppm` bounds a limit price around the last trade price (0: no band): on its worse side, or
    on both sides with `band_both_sides`. `slippage_ppm` bounds a market order around the best
    opposite price. The engine and users also learn how the band's reference moves (`band_move_*`)
    and the steps of an interruption (`interruption_*`; limit 0: none).
    """

    units: SymbolUnits
    partition_id: int
    state: SymbolState
    price_ticks_min: int
    price_ticks_max: int
    quantity_lots_min: int
    quantity_lots_max: int
    notional_atoms_min: int
    band_ppm: int
    slippage_ppm: int
    open_orders_max: int
    stop_orders_max: int = 0
    band_move_ppm: int = 0
    band_move_after_s: int = 0
    interruption_limit_s: int = 0
    interruption_pause_s: int = 0
    interruption_auction_s: int = 0
    band_both_sides: bool = False
    is_listed: bool = True  # shown, and open to new orders; old ones stay readable if not
