"""The engine's rules in the most obvious form: lists of orders, searched and sorted each time.

It shares only the messages with the engine. It is slow on purpose; property tests compare the two.
Work that the engine splits with `Continue` is done at once, so there is no `ContinueNeeded`.
"""

from matching.engine import messages as m
from tests.oracles.naive.entry import NaiveEntry
from tests.oracles.naive.order import NaiveOrder


class NaiveEngine:
    """Gives the events of `matching.engine.core.Engine` for the same commands, at once."""

    def __init__(self) -> None:
        self.sequence = 0
        self.markets: dict[int, NaiveEntry] = {}

    @property
    def open(self) -> list[NaiveOrder]:
        """The orders that rest in the books."""
        return [order for market in self.markets.values() for order in market.orders]

    def apply(self, command: m.Command) -> list[m.Event]:
        """Apply one command and return its events."""
        self.sequence += 1
        market = self.markets.setdefault(command.symbol_id, NaiveEntry(command.symbol_id))
        return market.apply(command, self.sequence)
