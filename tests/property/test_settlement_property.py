"""orders.settlement of any history: exact, however the journal is cut (L1 to L5, S1)."""

import random
from collections import Counter
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching.engine import cascade
from tests.histories import ACCOUNTS
from tests.oracles.money.ledger import MemoryLedger, units_make
from tests.oracles.money.requests import Requests, run_history

COMMANDS = 250
UNITS = {symbol_id: units_make(symbol_id) for symbol_id in (1, 2)}
# So poor that orders are refused for want of funds, or rich enough for anything.
FUNDS = (60_000, 10**9)


def run(seed: int, *, steps_max: int = cascade.STEPS_PER_COMMAND_MAX) -> Counter[str]:
    """One history from its beginning to the end of every order; return what was seen in it."""
    chance = random.Random(seed)
    ledger = MemoryLedger(ACCOUNTS, UNITS, chance.choice(FUNDS), seed)
    with patch.object(cascade, "STEPS_PER_COMMAND_MAX", steps_max):
        run_history(ledger, Requests(chance, ledger), COMMANDS)
    return ledger.seen


@given(st.integers(0, 2**32), st.sampled_from((1, 3, 100)))
@settings(max_examples=60)
@example(0, 100)
def test_any_history_settles_exactly(seed: int, steps_max: int) -> None:
    run(seed, steps_max=steps_max)


def test_histories_show_what_they_are_for() -> None:
    """Each of these comes up again and again, or the test above shows nothing."""
    seen: Counter[str] = Counter()
    for seed in range(16):
        seen += run(seed, steps_max=3)
    wanted = {
        "Trade": 100,
        "OrderTriggered": 50,
        "OrderRefreshed": 30,
        "OrderRepriced": 2,
        "ListAccepted": 50,
        "SelfTradePrevented": 20,
        "AuctionUncrossed": 3,
        "ContinueNeeded": 50,
        "pool": 100,
        "funded": 100,
        "funded in part": 5,
        "amend on its way": 20,
        "frozen by an amend": 5,
        "refused for want of funds": 3,
    }
    assert {kind: seen[kind] for kind in wanted if seen[kind] < wanted[kind]} == {}
