"""matching.engine as a Hypothesis state machine: every command, every optional field."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.fuzz import Pair, crowded_run, fuzz, steps_of
from tests.histories import COMMANDS, KINDS, History

# Seeds on which something was found once.
REGRESSIONS: tuple[int, ...] = (1, 2, 51285, 51536)
SLICE_COMMANDS = 10_000
SLICE_SECONDS = 60


class EngineMachine(RuleBasedStateMachine):
    """B1 to B5, O2, D1: engine = naive book, every invariant after every command."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.history = History(random.Random(0), symbols=1, ids_max=30)

    @initialize(chance=st.randoms(use_true_random=False))
    def chosen(self, chance: random.Random) -> None:
        self.history.chance = chance

    @rule(kind=st.sampled_from(COMMANDS))
    def command(self, kind: str) -> None:
        self.pair.apply(self.history.command_of(kind))

    @rule(kind=st.sampled_from(KINDS))
    def place(self, kind: str) -> None:
        self.pair.apply(self.history.place(1, self.history.new_id(), (kind,)))

    @rule(kind=st.sampled_from(("place", "list", "expire", "all", "state")))
    def command_that_is_cut(self, kind: str) -> None:
        with steps_of(1):
            self.pair.apply(self.history.command_of(kind), is_finished=False)

    @rule()
    def restart(self) -> None:
        self.pair.restore()


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def test_engine_equals_the_naive_book_in_random_histories() -> None:
    """A slice of `python -m tests.fuzz`."""
    run = fuzz(SLICE_COMMANDS, SLICE_SECONDS, seed=40)
    assert run.events["Trade"] > SLICE_COMMANDS // 20, "the histories must trade"
    seen = {"OrderTriggered", "OrderRefreshed", "SelfTradePrevented", "AuctionUncrossed"}
    assert seen <= run.events.keys()


def test_engine_on_seeds_that_once_failed() -> None:
    for seed in REGRESSIONS:
        crowded_run(seed, 600, {})
