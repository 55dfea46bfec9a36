"""matching.engine beside the oracle and the referee: it does what the text of its rules says.

`make fuzz` plays many more of these histories.
"""

import copy
import random
import typing
from collections import Counter
from itertools import islice

import msgspec
import pytest

import matching.engine.entry
from matching.engine import codes
from matching.engine import messages as m
from matching.engine.core import Engine
from tests.oracles.generator import SUBJECTS, Corners, history
from tests.oracles.pair import Beside, Differs, Judges
from tests.oracles.referee import Foul
from tests.oracles.rules import limits

HISTORIES = 12  # of each subject
COMMANDS = 300


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_engine_does_what_the_rules_say(subject: str) -> None:
    for seed in range(HISTORIES):
        beside = Beside()
        corners = Corners(random.Random(seed), subject, beside.judges.oracle)
        for number, command in enumerate(islice(corners, COMMANDS)):
            try:
                beside.apply(command)
            except AssertionError as error:
                error.add_note(f"command {number} of history {seed} about {subject}")
                raise


def test_23_2_the_bound_of_trailing_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same histories with room for three of them."""
    monkeypatch.setattr(matching.engine.entry, "TRAILING_ORDERS_PER_SYMBOL_MAX", 3)
    monkeypatch.setattr(limits, "TRAILING_ORDERS_MAX", 3)
    refused = 0
    for seed in range(4):
        beside = Beside()
        corners = Corners(random.Random(seed), "lists", beside.judges.oracle)
        for command in islice(corners, COMMANDS):
            refused += [
                event.code for event in beside.apply(command) if type(event) is m.OrderRejected
            ].count(codes.TRAILING_ORDERS_MAX)
    assert refused > 0


def corner_of(event: m.Event) -> object:
    """Return what is special about an event."""
    match event:
        case m.OrderCancelled() | m.OrderRejected() | m.CommandRefused():
            return event.code
        case m.StateChanged():
            return "state", event.state
        case m.PhaseChanged():
            return "phase", event.phase
        case m.SelfTradePrevented():
            return "mode", event.mode
        case m.AuctionUncrossed() if event.price_ticks:
            return "crossed"
        case m.Trade() if event.maker_price_ticks:
            return "beyond the edge"
    return None


CORNERS = (
    *(kind for kind in typing.get_args(m.Event) if kind is not m.ContinueNeeded),
    *(("state", state) for state in range(m.OPEN, m.CANCEL_ONLY + 1)),
    *(("phase", phase) for phase in (m.PHASE_LIMIT, m.PHASE_PAUSE, m.PHASE_CALL)),
    *(("mode", mode) for mode in range(m.STP_CANCEL_INCOMING, m.STP_DECREMENT + 1)),
    *("crossed", "beyond the edge", codes.BAND_REST, codes.PRICE_OUTSIDE_BAND),
    *(codes.LIST_OTHER_TRADED, codes.LIST_OTHER_ENDED, codes.LIST_REFUSED),
    *(codes.OPEN_ORDERS_MAX, codes.STOP_ORDERS_MAX, codes.EXPIRED, codes.BY_CANCEL_AFTER),
    *(codes.SYMBOL_PRE_OPEN, codes.SYMBOL_IN_AUCTION, codes.SYMBOL_POST_ONLY),
)


def test_the_histories_reach_the_corners() -> None:
    """A generator that makes dull histories would show nothing."""
    seen: Counter[object] = Counter()
    for subject in SUBJECTS:
        for seed in range(HISTORIES):
            engine = Engine()
            told = [
                event
                for command in history(subject, seed, COMMANDS)
                for event in engine.apply(command)
            ]
            seen.update(map(type, told))
            seen.update(map(corner_of, told))
    assert [corner for corner in CORNERS if seen[corner] < 3] == []


def spoiled(event: m.Event) -> m.Event | None:
    """Return an event as a faulty engine would have told it."""
    false = msgspec.structs.replace(event)
    match false:
        case m.Trade():
            false.price_ticks += 50
        case m.AuctionUncrossed() if false.price_ticks:
            false.price_ticks += 1
        case m.OrderTriggered() if false.at_ticks:
            false.at_ticks += 50
        case m.OrderCancelled() if false.left_lots:
            false.left_lots += 1
        case _:
            return None
    return false


def is_foul(judges: Judges, command: m.Command, told: list[m.Event]) -> bool:
    """Tell whether the referee whistles."""
    try:
        copy.deepcopy(judges).referee.judge(command, told)
    except Foul:
        return True
    return False


def test_the_judges_see_what_a_faulty_engine_would_tell() -> None:
    """The oracle sees every spoiled event; the referee each kind (best prices excepted)."""
    seen: set[type] = set()
    engine, judges = Engine(), Judges()
    for command in history("auctions", 1, COMMANDS):
        told = engine.apply(command)
        for place, event in enumerate(told):
            false = spoiled(event)
            if type(event) in seen or false is None:
                continue
            faulty = [*told[:place], false, *told[place + 1 :]]
            with pytest.raises(Differs):
                copy.deepcopy(judges).judge(engine, command, faulty)
            if is_foul(judges, command, faulty):
                seen.add(type(event))
        judges.judge(engine, command, told)
    assert seen == {m.Trade, m.AuctionUncrossed, m.OrderTriggered, m.OrderCancelled}
