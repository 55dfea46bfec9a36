"""The regression gate: its comparisons, and the cost of one work in units of another."""

from pathlib import Path

import pytest

from tests.lab.gate.ratios import LOSS_MAX, STORED, compared, stored_read, stored_write
from tests.lab.gate.turns import Turns, thread_ns

STEADY = {"counts": {"engine": 200.0, "loop": 5_000.0}, "times": {"loop": 0.5}}


@pytest.mark.parametrize(
    ("kind", "cost", "loss", "is_good"),
    [
        ("counts", 5_000.0, 0.0, True),
        ("counts", 4_000.0, -0.2, True),
        ("counts", 5_700.0, 0.14, True),
        ("counts", 5_800.0, 0.16, False),
        ("times", 0.9, 0.8, True),
        ("times", 1.1, 1.2, False),
    ],
    ids=["as stored", "cheaper", "a little more", "too much", "noise", "more than noise"],
)
def test_a_part_may_cost_a_little_more_than_stored(
    kind: str, cost: float, loss: float, is_good: bool
) -> None:
    measured = {**STEADY, kind: {**STEADY[kind], "loop": cost}}
    comparisons = compared(measured, STEADY)
    (changed,) = (one for one in comparisons if (one.kind, one.part) == (kind, "loop"))
    assert all(one.is_good for one in comparisons if one is not changed)
    assert changed.loss == pytest.approx(loss)
    assert changed.is_good is is_good
    assert ("NO" in changed.line()) is not is_good
    assert f"{100 * loss:+.1f} %" in changed.line()


def test_a_part_that_is_missing_on_either_side_fails() -> None:
    new, gone = compared({"counts": {"new": 1.0}}, {"counts": {"gone": 1.0}})
    assert not new.is_good
    assert "not stored" in new.line()
    assert not gone.is_good
    assert "not measured" in gone.line()


def test_stored_costs_are_read_back_to_four_digits(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    stored_write({"counts": {"engine": 123.456}, "times": {"engine": 0.0123456}}, path)
    assert stored_read(path) == {"counts": {"engine": 123.5}, "times": {"engine": 0.01235}}


def test_the_committed_costs_are_of_both_kinds() -> None:
    stored = stored_read(STORED)
    assert set(stored) == set(LOSS_MAX)
    assert all(cost > 0 for costs in stored.values() for cost in costs.values())


def test_a_turn_tells_each_cost_in_units_of_the_same_work() -> None:
    turns = Turns()
    turns.take(lambda: (1.0, 2.0))
    once, twice = turns.medians
    assert once > 0
    assert twice == pytest.approx(2 * once)


def test_work_is_timed_by_the_clock_of_its_thread() -> None:
    times = iter((100, 350))
    assert thread_ns(lambda: None, clock=lambda: next(times)) == 250
