"""The engine's rules in the most obvious form: lists of orders, searched and sorted for every look.

Shares nothing with the engine but the messages. Slow on purpose; property tests compare the two.
What the engine cuts into pieces (`Continue`) happens here at once, so `ContinueNeeded` is unknown.
"""

from matching.engine import messages as m
from tests.oracles.naive.entry import NaiveEntry
from tests.oracles.naive.order import NaiveOrder


class NaiveEngine:
    """Same commands, same events as `matching.engine.core.Engine`, apart from where work is cut."""

    def __init__(self) -> None:
        self.sequence = 0
        self.markets: dict[int, NaiveEntry] = {}

    @property
    def open(self) -> list[NaiveOrder]:
        """All orders in the books."""
        return [order for market in self.markets.values() for order in market.orders]

    def apply(self, command: m.Command) -> list[m.Event]:
        """Apply one command and return what happened."""
        self.sequence += 1
        market = self.markets.setdefault(command.symbol_id, NaiveEntry(command.symbol_id))
        return market.apply(command, self.sequence)
