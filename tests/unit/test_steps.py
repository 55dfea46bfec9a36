"""tests/steps.py: it counts the same each time, walks through lists included."""

import sys

from tests.steps import steps_of

MANY = 1_000


def test_the_same_work_is_the_same_number_and_twice_as_much_is_twice_that() -> None:
    def work(count: int) -> int:
        return sum(number * number for number in range(count))

    once = steps_of(lambda: work(MANY))
    assert steps_of(lambda: work(MANY)) == once
    assert 1.9 * once < steps_of(lambda: work(2 * MANY)) < 2 * once


def test_a_method_that_goes_through_a_list_costs_its_length() -> None:
    items = list(range(MANY))
    assert steps_of(lambda: items.remove(MANY - 1)) > MANY - 1
    assert steps_of(lambda: items.append(0)) < 20


def test_who_looks_on_otherwise_does_so_again_afterwards() -> None:
    before = sys.gettrace(), sys.getprofile()
    steps_of(lambda: None)
    assert (sys.gettrace(), sys.getprofile()) == before
