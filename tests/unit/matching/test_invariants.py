"""`check` of the engine's invariants: it sees what is wrong with advanced state."""

from collections.abc import Callable

import pytest

from matching.engine.advanced import AdvancedState
from matching.engine.components import Waiting
from tests.scenario import run

LIVELY = """
    band 100000 ref=100                          -> ref 100, done
    last 100                                     -> nothing
    sell #1 9@105 by=7 until=9000                -> rest #1 9@105
    sell #2 5@94 stop=95 by=7                    -> wait #2 95
    sell #3 5@90 trail=3                         -> wait #3 97
    oco sell #4 5@107 ; sell #5 5@94 stop=95     -> list 8, wait #5 95, rest #4 5@107
    oto buy #6 5@98 ; sell #7 5@105              -> list 9, wait #7, rest #6 5@98
"""


def spoil(advanced: AdvancedState, order_id: int, **values: int) -> None:
    for name, value in values.items():
        setattr(advanced.waiting[order_id], name, value)


def twice(advanced: AdvancedState) -> None:
    waiting: Waiting = advanced.waiting[2]
    advanced.unwatch(waiting)
    advanced.trigger([waiting, waiting], 95)


SPOILED: dict[str, Callable[[AdvancedState], object]] = {
    "waiting order without an account": lambda advanced: advanced.waiting_by_account.pop(1_003),
    "waiting order unknown": lambda advanced: advanced.waiting.pop(2),
    "trigger of nobody": lambda advanced: advanced.triggers[0, 1].add(5, 5, 5),
    "trigger lost": lambda advanced: advanced.triggers[0, -1].entries.pop(),
    "trigger at another price": lambda advanced: spoil(advanced, 2, stop_ticks=96),
    "reached and not triggered": lambda advanced: setattr(advanced, "last_ticks", 94),
    "order without a stop that watches": lambda advanced: spoil(advanced, 7, stage=1),
    "trailing stop forgotten": lambda advanced: advanced.trailing[0].clear(),
    "triggered twice": twice,
    "place of the future": lambda advanced: spoil(advanced, 7, priority=99),
    "list of one": lambda advanced: advanced.list_of[4].order_ids.remove(5),
    "list without an order": lambda advanced: advanced.list_of.pop(4),
    "expiry forgotten": lambda advanced: advanced.expiry_drop(1),
    "expiry of nobody": lambda advanced: advanced.expiry_add(99, 5),
    "cancel-after without a time": lambda advanced: advanced.cancel_after.update({(7, 0): 0}),
    "sum of samples": lambda advanced: setattr(advanced, "sum_ticks", 1),
    "phase without a time": lambda advanced: setattr(advanced.band, "phase", 1),
    "auction order of nobody": lambda advanced: advanced.at_open.add(99),
}


def test_sound_state_passes() -> None:
    run(LIVELY).check()


@pytest.mark.parametrize("fault", SPOILED)
def test_check_sees_a_spoiled_state(fault: str) -> None:
    engine = run(LIVELY)
    advanced = engine.book(1).advanced
    assert advanced is not None
    SPOILED[fault](advanced)
    with pytest.raises(AssertionError):
        engine.check()
