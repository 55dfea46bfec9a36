"""Any history of all order types settles exactly, however its journal is cut (L1 to L5, S1)."""

import random
from collections import Counter
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching import messages as m
from matching import sequencing
from tests.factories.memory_ledger import MemoryLedger
from tests.histories import ACCOUNTS, History

SYMBOLS = 2
COMMANDS_OF_A_HISTORY = 250
# Faults are the ledger's: it refuses only what was accepted.
COMMANDS = ("place", "list", "cancel", "amend", "all", "state", "expire", "timer", "set")
WEIGHTS = (55, 12, 7, 22, 1, 4, 5, 1, 2)
# So poor that orders are refused for want of funds, or rich enough for anything.
FUNDS = (60_000, 10**9)
# How likely the engine takes one more command before the next one is accepted.
PACES = (0.45, 0.6, 0.9)


class Requests(History):
    """A history as clients make it: ids of orders come once, lists keep the rules of the API."""

    def __init__(self, chance: random.Random, ledger: MemoryLedger) -> None:
        super().__init__(chance, SYMBOLS)
        self.ledger = ledger

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
            # Mostly the fill covers what waits for it; sometimes it does not, and is refused.
            place.quantity_lots = max(1, min(place.quantity_lots, parent.quantity_lots - 1))
        for place in places:
            _no_reprice_later(place, is_child=command.kind != m.OCO and place is not parent)
        return command

    def amend(self, symbol: int, number: int) -> m.Amend:
        command = super().amend(symbol, number)
        rows = list(self.ledger.tables.rows.values())
        if rows and self.chance.random() < 0.8:
            row = self.chance.choice(rows)
            command.symbol_id, command.order_id = row.symbol_id, row.order_id
        return command

    def place(self, symbol: int, order_id: int, *kinds: tuple[str, ...]) -> m.Place:
        place = super().place(symbol, order_id, *kinds)
        _no_reprice_later(place, is_child=False)
        return place


def _no_reprice_later(place: m.Place, *, is_child: bool) -> None:
    """An order that comes in after its acceptance is not repriced: no event would say so."""
    terms = place.terms
    if terms is not None and (is_child or terms.trigger):
        terms.reprice = False


def run(seed: int, *, steps_max: int = 100) -> Counter[str]:
    """Let intake, engine and settlement run at speeds of their own, then end everything."""
    chance = random.Random(seed)
    ledger = MemoryLedger(ACCOUNTS, SYMBOLS, chance.choice(FUNDS), seed)
    requests = Requests(chance, ledger)
    pace = chance.choice(PACES)
    with patch.object(sequencing, "STEPS_PER_COMMAND_MAX", steps_max):
        for _ in range(COMMANDS_OF_A_HISTORY):
            command = requests.command_of(chance.choices(COMMANDS, WEIGHTS)[0])
            ledger.accept(command)
            while ledger.queue and chance.random() < pace:
                ledger.sequence()
            if chance.random() < 0.2:
                ledger.settle()
        ledger.fault_share = 0.0
        for symbol in range(1, SYMBOLS + 1):
            ledger.accept(m.SetState(7, requests.now_ms, symbol, m.CLOSED))
        while ledger.queue:
            ledger.sequence()
        ledger.settle()
    assert ledger.tables.rows == {}, "an order ended and still holds something"
    assert all(reserved == 0 for _, reserved in ledger.tables.balances.values())
    return ledger.seen


@given(st.integers(0, 2**32), st.sampled_from((1, 3, 100)))
@settings(max_examples=60)
@example(0, 100)
def test_any_history_settles_exactly(seed: int, steps_max: int) -> None:
    run(seed, steps_max=steps_max)
