"""Random histories of client requests, for tests that reserve before they sequence."""

import random
from collections.abc import Sequence
from typing import Final

from matching.engine import messages as m
from tests.histories import ACCOUNTS, History
from tests.oracles.money.ledger import MemoryLedger

# No faults: the ledger makes them itself, from accepted commands.
KINDS: Final = ("place", "list", "cancel", "amend", "all", "state", "expire", "cancel_after", "set")
WEIGHTS: Final = (55, 12, 7, 22, 1, 4, 5, 1, 2)
# The probability that the engine applies one more command before the next one is accepted.
PACES: Final = (0.45, 0.6, 0.9)


class Requests(History):
    """A history with unique order ids, lists that the API allows, and amends of live orders.

    Symbols and accounts are those of the ledger.
    """

    def __init__(
        self, chance: random.Random, ledger: MemoryLedger, accounts: Sequence[int] = ACCOUNTS
    ) -> None:
        super().__init__(chance, symbols=2)
        self.ledger = ledger
        self.symbol_ids = list(ledger.units)
        self.account_of = dict(zip(ACCOUNTS, accounts, strict=True))

    def command(self) -> m.Command:
        command = self.command_of(self.chance.choices(KINDS, WEIGHTS)[0])
        for one in (command, *getattr(command, "orders", ())):
            one.symbol_id = self.symbol_ids[one.symbol_id - 1]
            if hasattr(one, "account_id"):
                one.account_id = self.account_of.get(one.account_id, one.account_id)
        if type(command) is m.Amend:
            self._aim(command)
        return command

    def new_id(self) -> int:
        return 100_000 + self.number

    def list(self, symbol: int) -> m.PlaceList:
        command = super().list(symbol)
        places = command.orders
        for at, place in enumerate(places):
            place.order_id = place.command_id = 1_000_000 + 10 * self.number + at
            self.recent.append((symbol, place.order_id))
        parent, pair = places[0], places[1:] if command.kind != m.OCO else places
        for place in pair:
            place.side = pair[-1].side
            # Mostly the parent's fills cover its children; the ledger refuses other lists.
            place.quantity_lots = max(1, min(place.quantity_lots, parent.quantity_lots - 1))
        return command

    def place(self, symbol: int, order_id: int, *kinds: tuple[str, ...]) -> m.Place:
        return super().place(symbol, order_id, *kinds)

    def _aim(self, command: m.Amend) -> None:
        rows = list(self.ledger.tables.rows.values())
        if rows and self.chance.random() < 0.8:
            row = self.chance.choice(rows)
            command.symbol_id, command.order_id = row.symbol_id, row.order_id


def run_history(ledger: MemoryLedger, requests: Requests, commands: int) -> None:
    """Run intake, engine and settlement at different speeds, then end every order."""
    chance = ledger.chance
    pace = chance.choice(PACES)
    for _ in range(commands):
        ledger.accept(requests.command())
        while ledger.queue and chance.random() < pace:
            ledger.sequence()
        if chance.random() < 0.2:
            ledger.settle()
    ledger.fault_share = 0.0
    for symbol_id in ledger.units:
        ledger.accept(m.SetState(7, requests.now_ms, symbol_id, m.CLOSED))
    while ledger.queue:
        ledger.sequence()
    ledger.settle()
    assert ledger.tables.rows == {}, "an ended order still has a reservation"
    assert all(reserved == 0 for _, reserved in ledger.tables.balances.values())
