"""A journal from before the rules were mended is replayed as it was written (docs/adr/0031).

The file was written by the engine of that time: histories of tests/histories.py, as journals, with
snapshots in between and the state hash at the end.
"""

import lzma
from pathlib import Path

import msgspec
import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from matching.engine.versions import RULES_FIRST, RULES_NOW
from matching.state.codec import decode_journal
from matching.state.hash import StateHash, advanced_hash, state_hash
from matching.state.snapshot import snapshot_decode
from tests.scenario import SYMBOL

FILE = Path(__file__).parent / "journals" / "first-rules.msgpack.xz"


class Kept(msgspec.Struct, array_like=True):
    journal: bytes
    snapshots: list[tuple[int, bytes]]
    state_hash: str


def kept() -> list[Kept]:
    return msgspec.msgpack.decode(lzma.decompress(FILE.read_bytes()), type=list[Kept])


def replay(engine: Engine, one: Kept) -> Engine:
    for row in decode_journal(one.journal):
        if row.sequence > engine.sequence:
            assert row.rules == RULES_FIRST
            assert engine.apply_again(row) == row.events, row
    return engine


def test_an_old_journal_gives_its_events_and_its_hash_from_the_beginning() -> None:
    for one in kept():
        assert state_hash(replay(Engine(), one)) == one.state_hash


def test_and_from_its_snapshots() -> None:
    for one in kept():
        for _, snapshot in one.snapshots:
            assert state_hash(replay(snapshot_decode(snapshot), one)) == one.state_hash


def test_the_hash_that_is_kept_up_to_date_is_the_same_one() -> None:
    for one in kept():
        engine, hashes = Engine(), StateHash()
        for row in decode_journal(one.journal):
            engine.apply_again(row)
            hashes.follow(engine.books[row.command.symbol_id], row.events)
        states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        digest = hashes.hexdigest(engine.sequence, states, advanced_hash(engine))
        assert digest == one.state_hash


def test_under_the_rules_of_today_it_differs() -> None:
    """Or the tests above would show nothing."""
    engine = Engine()
    assert engine.rules == RULES_NOW
    rows = [row for one in kept() for row in decode_journal(one.journal)]
    assert any(engine.apply(row.command) != row.events for row in rows[:600])


def test_what_an_older_engine_left_in_the_book_ends_with_the_next_halt() -> None:
    """Under the first rules a market order of an auction could rest in an open book."""
    engine = Engine()
    engine.rules_set(RULES_FIRST)
    for number, state in enumerate((m.AUCTION, m.HALT, m.OPEN), start=1):
        if state == m.HALT:
            place = m.Place(9, 0, SYMBOL, 9, 7, m.BUY, 120, 5, m.IOC, market=True)
            engine.apply(place)
        engine.apply(m.SetState(number, 0, SYMBOL, state))
    engine.check()
    engine.rules_set(RULES_NOW)
    with pytest.raises(AssertionError, match="no market order outlives its auction"):
        engine.check()
    events = engine.apply(m.SetState(10, 0, SYMBOL, m.HALT))
    assert [type(event) for event in events] == [m.StateChanged, m.OrderCancelled]
    engine.check()


def test_a_journal_of_a_later_release_is_refused() -> None:
    with pytest.raises(AssertionError):
        Engine().rules_set(RULES_NOW + 1)
