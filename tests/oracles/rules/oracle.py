"""The rules oracle: a market for each symbol, a function for each command."""

from typing import Any

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import amending, bands, ending, entry, states, timing
from tests.oracles.rules.following import settle
from tests.oracles.rules.market import Market


def fault(market: Market, command: m.RefuseFaulty) -> None:
    """Refuse a command at which the engine raised (11.1)."""
    if command.is_place:
        market.tell(m.OrderRejected(command.order_id, 0, m.ENGINE_FAULT))
    else:
        market.tell(m.CommandRefused(command.command_id, command.order_id, m.ENGINE_FAULT))


def set_feature(market: Market, command: m.SetFeature) -> None:
    """Switch a feature; features are off at first."""
    if command.feature not in m.FEATURES:
        market.tell(m.CommandRefused(command.command_id, 0, codes.FEATURE_UNKNOWN))
        return
    if command.is_on:
        market.features.add(command.feature)
    else:
        market.features.discard(command.feature)
    market.tell(m.CommandDone(command.command_id, market.symbol))


def set_limits(market: Market, command: m.SetLimits) -> None:
    """Set limits; a new limit ends no order (23.3, 23.4)."""
    market.limits[command.account_id] = (command.open_orders_max, command.stop_orders_max)
    market.tell(m.CommandDone(command.command_id, market.symbol))


PLAIN = (m.Place, m.Cancel, m.Amend, m.CancelAll, m.SetState, m.RefuseFaulty)


def is_plain(command: m.Command) -> bool:
    """Tell whether a command needs no advanced state (12.14)."""
    match command:
        case m.Place():
            is_usual = command.self_trade in (m.STP_NONE, m.STP_CANCEL_INCOMING)
            return is_usual and not (command.terms or command.group_id or command.owner_tag)
        case m.Amend():
            return not (command.stop_ticks or command.display_lots)
        case m.CancelAll():
            return command.account_id != m.ALL_ACCOUNTS and not command.owner_tag
        case m.SetState():
            return command.state in (m.OPEN, m.HALT)
    return isinstance(command, PLAIN)


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
    """Gives the events that the rules demand, command by command (1.1)."""

    def __init__(self) -> None:
        self.markets: dict[int, Market] = {}
        self.sequence = 0

    def market(self, symbol: int) -> Market:
        """Return a symbol's market; a new one is open and empty."""
        return self.markets.setdefault(symbol, Market(symbol))

    def apply(self, command: m.Command) -> list[m.Event]:
        """Return all events of a command, whatever pieces the engine cuts it into (25.2)."""
        self.sequence += 1
        market = self.market(command.symbol_id)
        market.sequence, market.now_ms, market.events = self.sequence, command.time_ms, []
        market.follows_prices = market.follows_prices or not is_plain(command)
        HANDLERS[type(command)](market, command)
        settle(market)
        return market.events
