"""The oracle: one market a symbol, one function a command."""

from typing import Any

from matching import codes
from matching import messages as m
from tests.oracles import amending, bands, ending, entry, states, timing
from tests.oracles.following import settle
from tests.oracles.market import Market


def fault(market: Market, command: m.RefuseFaulty) -> None:
    """11.1."""
    if command.is_place:
        market.tell(m.OrderRejected(command.order_id, 0, m.ENGINE_FAULT))
    else:
        market.tell(m.CommandRefused(command.command_id, command.order_id, m.ENGINE_FAULT))


def set_feature(market: Market, command: m.SetFeature) -> None:
    """Behaviour switches: off until a command says so."""
    if command.feature not in m.FEATURES:
        market.tell(m.CommandRefused(command.command_id, 0, codes.FEATURE_UNKNOWN))
        return
    if command.is_on:
        market.features.add(command.feature)
    else:
        market.features.discard(command.feature)
    market.tell(m.CommandDone(command.command_id, market.symbol))


def set_limits(market: Market, command: m.SetLimits) -> None:
    """23.3, 23.4: a new limit ends nothing."""
    market.limits[command.account_id] = (command.open_orders_max, command.stop_orders_max)
    market.tell(m.CommandDone(command.command_id, market.symbol))


HANDLERS: dict[type, Any] = {
    m.Place: entry.place,
    m.PlaceList: entry.place_list,
    m.Cancel: ending.cancel,
    m.CancelAll: ending.cancel_all,
    m.CancelAfter: timing.cancel_after,
    m.Expire: timing.expire,
    m.Amend: amending.amend,
    m.SetState: states.set_state,
    m.SetFeature: set_feature,
    m.SetLimits: set_limits,
    m.SetBand: bands.set_band,
    m.RefuseFaulty: fault,
}


class Oracle:
    """What the rules say happens, command after command (1.1)."""

    def __init__(self) -> None:
        self.markets: dict[int, Market] = {}
        self.sequence = 0

    def apply(self, command: m.Command) -> list[m.Event]:
        """Return all that a command causes (25.2: where work is cut changes nothing)."""
        self.sequence += 1
        market = self.markets.setdefault(command.symbol_id, Market(command.symbol_id))
        market.sequence, market.now_ms, market.events = self.sequence, command.time_ms, []
        HANDLERS[type(command)](market, command)
        settle(market)
        return market.events
