"""The engine's snapshot: exact, versioned, and quick enough to load."""

import msgspec
import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from matching.state.hash import advanced_hash, state_hash
from matching.state.snapshot import (
    SNAPSHOT_VERSION,
    SnapshotRefused,
    snapshot_decode,
    snapshot_encode,
)
from tests.scenario import run

LIVELY = """
    band 100000 ref=100 limit=15000 pause=60000    -> ref 100, done
    limits by=7 20 5                                -> done
    cancel-after by=7 5000                          -> done
    feature 1 on                                    -> done
    last 100                                        -> nothing
    sell #1 9@105 show=2 by=7 until=9000            -> rest #1 9@105
    sell #2 5@94 stop=95 by=7                       -> wait #2 95
    sell #3 5@90 trail=3                            -> wait #3 97
    oco sell #4 5@107 ; sell #5 5@94 stop=95        -> list 11, wait #5 95, rest #4 5@107
    oto buy #6 5@98 ; sell #7 5@105                 -> list 12, wait #7, rest #6 5@98
"""


def test_image_is_exact() -> None:
    engine = run(LIVELY)
    copy = snapshot_decode(snapshot_encode(engine))
    copy.check()
    assert state_hash(copy) == state_hash(engine)
    assert snapshot_encode(copy) == snapshot_encode(engine)
    assert copy.next_due_ms(1) == engine.next_due_ms(1) == 5_000


@pytest.mark.parametrize("version", [0, SNAPSHOT_VERSION + 1, 99])
def test_another_version_is_refused_by_name(version: int) -> None:
    values = msgspec.msgpack.decode(snapshot_encode(run(LIVELY)))
    values[0] = version
    with pytest.raises(SnapshotRefused, match=f"version {version}"):
        snapshot_decode(msgspec.msgpack.encode(values))


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x90", msgspec.msgpack.encode([SNAPSHOT_VERSION])]
)
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotRefused):
        snapshot_decode(data)


@pytest.mark.parametrize(
    "command",
    [
        m.SetBand(9, 0, 1, 90_000),
        m.SetLimits(9, 0, 1, 8, 3, 3),
        m.CancelAfter(9, 0, 1, 7, 6_000),
        m.SetFeature(9, 0, 1, m.FEATURE_HALT_KEEPS_ORDERS, True),
        m.Amend(9, 0, 1, 2, stop_ticks=96),
        m.Cancel(9, 0, 1, 7),
        m.Place(9, 20_000, 1, 9, 9, m.BUY, 50, 1, terms=m.Terms()),
    ],
)
def test_hash_sees_every_part_of_the_state(command: m.Command) -> None:
    engine, other = run(LIVELY), run(LIVELY)
    engine.apply(command)
    other.apply(m.Cancel(9, 0, 1, 12_345))
    assert engine.sequence == other.sequence
    assert state_hash(engine) != state_hash(other)


def test_hash_sees_where_a_trailing_stop_stands() -> None:
    engine, other = run(LIVELY), run(LIVELY)
    advanced = other.book(1).advanced
    assert advanced is not None
    advanced.trailing_orders()[0].mark_ticks += 1
    assert advanced_hash(engine) != advanced_hash(other)


def test_a_symbol_without_advanced_state_has_no_hash_of_it() -> None:
    engine = Engine()
    engine.apply(m.Place(1, 0, 1, 1, 7, m.BUY, 100, 5))
    assert advanced_hash(engine) == ""
