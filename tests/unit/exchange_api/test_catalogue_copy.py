"""The copy of the catalogue in a process: how old it may be when a request is decided."""

import math
import threading

import pytest

from exchange.infra.copies import Copy
from exchange.selectors import CATALOGUE_AGE_MAX_S, CATALOGUE_STALE_MAX_S, Catalogue
from tests.waiting import HANG_S, wait_until


def reading(number: int) -> Catalogue:
    """A reading that can be told from others."""
    return Catalogue({}, {}, {}, {}, {}, tier_default_id=number)


class Source:
    """Counts its readings; one can be held up."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.count = 0
        self.began = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def read(self) -> Catalogue:
        self.count += 1
        number = self.count
        self.began.set()
        assert self.may_go_on.wait(HANG_S)
        return reading(number)


def copy_of(source: Source) -> Copy[Catalogue]:
    return Copy(
        source.read,
        age_max_s=CATALOGUE_AGE_MAX_S,
        stale_max_s=CATALOGUE_STALE_MAX_S,
        now_s=lambda: source.now_s,
    )


def held_refresh(source: Source, copy: Copy[Catalogue]) -> threading.Thread:
    """Another thread that is in the middle of reading anew."""
    source.began.clear()
    source.may_go_on.clear()
    thread = threading.Thread(target=copy.get, daemon=True)
    thread.start()
    assert source.began.wait(HANG_S)
    return thread


def test_a_reading_serves_until_it_is_old() -> None:
    source = Source()
    copy = copy_of(source)
    assert copy.get() is copy.get()
    source.now_s += CATALOGUE_AGE_MAX_S
    assert copy.get().tier_default_id == 2


def test_nobody_waits_for_the_thread_that_reads_while_the_copy_is_young_enough() -> None:
    source = Source()
    copy = copy_of(source)
    copy.get()
    source.now_s += CATALOGUE_AGE_MAX_S
    thread = held_refresh(source, copy)
    assert copy.get().tier_default_id == 1
    source.may_go_on.set()
    thread.join(HANG_S)
    assert copy.get().tier_default_id == 2


def test_those_who_want_a_newer_reading_share_it_and_others_use_the_last_one() -> None:
    source, moments, found = Source(), list[float](), list[int | None]()

    def now_s() -> float:
        moments.append(float(len(moments)))
        return moments[-1]

    def renew() -> threading.Thread:
        """A thread that has asked."""
        asked = len(moments)
        thread = threading.Thread(
            target=lambda: found.append(copy.renewed().tier_default_id), daemon=True
        )
        thread.start()
        wait_until(lambda: len(moments) > asked)
        return thread

    copy = Copy(source.read, age_max_s=math.inf, now_s=now_s)
    copy.get()
    source.began.clear()
    source.may_go_on.clear()
    threads = [renew()]
    assert source.began.wait(HANG_S)
    threads += [renew() for _ in range(5)]
    assert copy.get().tier_default_id == 1
    source.may_go_on.set()
    for thread in threads:
        thread.join(HANG_S)
    assert sorted(number or 0 for number in found) == [2, 3, 3, 3, 3, 3]


def test_without_leave_to_read_the_last_reading_must_do() -> None:
    source = Source()
    copy = copy_of(source)
    assert copy.renewed(lambda: False).tier_default_id == 1, "there is no last one"
    assert copy.renewed(lambda: False).tier_default_id == 1
    assert copy.renewed(lambda: True).tier_default_id == 2


@pytest.mark.parametrize("waiting", [1, 5])
def test_a_copy_that_nobody_asked_for_in_a_while_is_not_used_again(waiting: int) -> None:
    source = Source()
    copy = copy_of(source)
    copy.get()
    source.now_s += CATALOGUE_STALE_MAX_S
    refresher = held_refresh(source, copy)
    found: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(copy.get().tier_default_id), daemon=True)
        for _ in range(waiting)
    ]
    for thread in threads:
        thread.start()
    source.may_go_on.set()
    for thread in [refresher, *threads]:
        thread.join(HANG_S)
    assert found == [2] * waiting
    assert source.count == 2
