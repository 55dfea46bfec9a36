"""The regression gate's comparisons, and the ratio of two pieces of work."""

from pathlib import Path

import pytest

from tests.lab.gate.ratios import STORED, compared, stored_read, stored_write
from tests.lab.gate.turns import Turns, thread_ns

STEADY = {"engine": 0.02, "loop": 0.5}


@pytest.mark.parametrize(
    ("measured", "loss", "is_good"),
    [(0.5, 0.0, True), (0.4, -0.2, True), (0.57, 0.14, True), (0.58, 0.16, False)],
    ids=["as stored", "cheaper", "a little dearer", "too dear"],
)
def test_a_part_may_cost_a_little_more_than_stored(
    measured: float, loss: float, is_good: bool
) -> None:
    engine, loop = compared({"engine": 0.02, "loop": measured}, STEADY)
    assert engine.is_good
    assert loop.loss == pytest.approx(loss)
    assert loop.is_good is is_good
    assert ("NO" in loop.line()) is not is_good
    assert f"{100 * loss:+.1f} %" in loop.line()


def test_a_part_that_is_missing_on_either_side_fails() -> None:
    new, gone = compared({"new": 1.0}, {"gone": 1.0})
    assert not new.is_good
    assert "not stored" in new.line()
    assert not gone.is_good
    assert "not measured" in gone.line()


def test_stored_ratios_are_read_back_to_four_digits(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    stored_write({"engine": 0.0123456, "loop": 123.456}, path)
    assert stored_read(path) == {"engine": 0.01235, "loop": 123.5}


def test_the_committed_ratios_are_costs() -> None:
    stored = stored_read(STORED)
    assert stored
    assert all(ratio > 0 for ratio in stored.values())


def test_a_turn_tells_each_cost_in_units_of_the_same_work() -> None:
    turns = Turns()
    turns.take(lambda: (1.0, 2.0))
    once, twice = turns.medians
    assert once > 0
    assert twice == pytest.approx(2 * once)


def test_work_is_timed_by_the_clock_of_its_thread() -> None:
    times = iter((100, 350))
    assert thread_ns(lambda: None, clock=lambda: next(times)) == 250
