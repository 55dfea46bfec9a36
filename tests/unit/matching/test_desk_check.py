"""That `check` sees what is wrong at a desk."""

from collections.abc import Callable

import pytest

from matching.engine.advanced import Desk
from matching.engine.components import Waiting
from tests.scenario import run

LIVELY = """
    band 100000 ref=100                          -> ref 100, done
    last 100                                     -> nothing
    sell #1 9@105 by=7 until=9000                -> rest #1 9@105
    sell #2 5@94 stop=95 by=7                    -> wait #2 95
    sell #3 5@90 trail=3                         -> wait #3 97
    oco sell #4 5@107 ; sell #5 5@94 stop=95     -> list 8, wait #5 95, rest #4 5@107
    oto buy #6 5@98 ; sell #7 5@105              -> list 9, held #7, rest #6 5@98
"""


def spoil(desk: Desk, order_id: int, **values: int) -> None:
    for name, value in values.items():
        setattr(desk.waiting[order_id], name, value)


def twice(desk: Desk) -> None:
    waiting: Waiting = desk.waiting[2]
    desk.unwatch(waiting)
    desk.elect([waiting, waiting], 95)


SPOILED: dict[str, Callable[[Desk], object]] = {
    "waiting order without an account": lambda desk: desk.waiting_by_account.pop(1_003),
    "waiting order unknown": lambda desk: desk.waiting.pop(2),
    "trigger of nobody": lambda desk: desk.triggers[0, 1].add(5, 5, 5),
    "trigger lost": lambda desk: desk.triggers[0, -1].entries.pop(),
    "trigger at another price": lambda desk: spoil(desk, 2, stop_ticks=96),
    "reached and not elected": lambda desk: setattr(desk, "last_ticks", 94),
    "held order that watches": lambda desk: spoil(desk, 7, stage=1),
    "trailing stop forgotten": lambda desk: desk.trailing[0].clear(),
    "elected twice": twice,
    "place of the future": lambda desk: spoil(desk, 7, priority=99),
    "list of one": lambda desk: desk.list_of[4].order_ids.remove(5),
    "list without an order": lambda desk: desk.list_of.pop(4),
    "expiry forgotten": lambda desk: desk.expiry_drop(1),
    "expiry of nobody": lambda desk: desk.expiry_add(99, 5),
    "timer without a time": lambda desk: desk.timers.update({(7, 0): 0}),
    "sum of samples": lambda desk: setattr(desk, "sum_ticks", 1),
    "phase without a time": lambda desk: setattr(desk.band, "phase", 1),
    "auction order of nobody": lambda desk: desk.at_open.add(99),
}


def test_sound_desk_passes() -> None:
    run(LIVELY).check()


@pytest.mark.parametrize("fault", SPOILED)
def test_check_sees_a_spoiled_desk(fault: str) -> None:
    engine = run(LIVELY)
    desk = engine.book(1).desk
    assert desk is not None
    SPOILED[fault](desk)
    with pytest.raises(AssertionError):
        engine.check()
