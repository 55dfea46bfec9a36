"""Segmented mappings of the book: like a dict, without an insertion that takes long."""

import random

import pytest

import matching.engine.book
from matching.engine import messages as m
from matching.engine.core import Engine
from matching.engine.segmented import SEGMENTS, SegmentedDict


def filled(keys: range) -> SegmentedDict[str]:
    segmented: SegmentedDict[str] = SegmentedDict()
    for key in keys:
        segmented[key] = str(key)
    return segmented


def test_it_reads_like_a_dict() -> None:
    segmented = filled(range(5, 205, 3))
    plain = {key: str(key) for key in range(5, 205, 3)}
    assert segmented == plain
    assert len(segmented) == len(plain)
    assert sorted(segmented) == sorted(plain)
    assert sorted(segmented.values()) == sorted(plain.values())
    assert segmented.keys() == plain.keys()
    assert segmented[8] == segmented.get(8) == "8"
    assert segmented.get(9) is None
    assert segmented.get(9, "none") == "none"
    assert 8 in segmented
    assert 9 not in segmented
    strange: object = "8"
    assert strange not in segmented


def test_it_is_written_like_a_dict() -> None:
    segmented = filled(range(3))
    segmented[1] = "one"
    assert (len(segmented), segmented[1]) == (3, "one")
    del segmented[1]
    assert (len(segmented), segmented.get(1)) == (2, None)
    with pytest.raises(KeyError):
        del segmented[1]
    assert len(segmented) == 2
    assert segmented.pop(2) == "2"
    assert dict(segmented) == {0: "0"}
    # By the remainder of its key, or it is not found again.
    segmented[SEGMENTS + 5] = "far"
    assert segmented.segments[5] == {SEGMENTS + 5: "far"}


def test_it_is_made_of_another_mapping() -> None:
    plain = {key: str(key) for key in range(5, 205, 3)}
    segmented = SegmentedDict.of(plain)
    assert segmented == plain
    assert len(segmented) == len(plain)
    assert segmented == filled(range(5, 205, 3))


def test_a_book_is_split_once_however_often_it_passes_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching.engine.book, "SINGLE_DICT_MAX", 3)
    engine = Engine()
    book = engine.book(1)
    kinds = []
    for number in (1, 2, 3):
        engine.apply(m.Place(number, 0, 1, number, 7, m.BUY, 100, 5))
        kinds.append(type(book.orders).__name__)
    assert kinds == ["dict", "dict", "SegmentedDict"]
    split = book.orders
    for number in range(4, 9):
        engine.apply(m.Cancel(number, 0, 1, number - 1))
        engine.apply(m.Place(number, 0, 1, number, 7, m.BUY, 100, 5))
        assert len(book.orders) == 3
        assert book.orders is split
    engine.check()


def test_it_is_true_where_something_is_in_it() -> None:
    assert not SegmentedDict()
    assert filled(range(7, 8))


def test_ids_made_from_the_time_spread() -> None:
    """Whether they come in bursts, one a millisecond, or one a second."""
    chance = random.Random(1)
    for gap_ms, burst in ((1, 1), (1, 40), (1_000, 1), (chance.randint(2, 999), 3)):
        keys = [
            (90_000_000_000 + moment * gap_ms) << 22 | 5 << 12 | n
            for moment in range(6_100 // burst)
            for n in range(burst)
        ]
        counts = [0] * SEGMENTS
        for key in keys:
            counts[key % SEGMENTS] += 1
        assert max(counts) < 3 * len(keys) / SEGMENTS, (gap_ms, burst)
