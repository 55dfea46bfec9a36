"""The hash of advanced state, kept up to date: equal to one from scratch, and cheap (D1, B3)."""

from collections.abc import Callable

import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from matching.state.hash import advanced_hash, advanced_hash_afresh, state_hash
from matching.state.snapshot import snapshot_decode, snapshot_encode
from tests.steps import steps_of
from tests.unit.matching.test_work_in_pieces import stops, trigger

SYMBOL = 1
MANY = 10_000
# Counted: 258 to 16,274 (2,000 trailing stops). What it costs from scratch: up to 1,550,320.
DIGEST_STEPS_MAX = 30_000


def triggered() -> tuple[Engine, m.Command]:
    engine = Engine()
    for command in [*stops(MANY), trigger()[0]]:
        engine.apply(command)
    return engine, trigger()[1]


def trailing() -> tuple[Engine, m.Command]:
    engine = Engine()
    terms = m.Terms(m.TRIGGER_TRAILING, trail_ticks=50)
    for n in range(1, 2_001):
        engine.apply(m.Place(n, 0, SYMBOL, n, n, m.SELL, 1, 1, m.IOC, market=True, terms=terms))
    engine.apply(m.Place(MANY, 0, SYMBOL, MANY, 1, m.BUY, 1_000, 1))
    return engine, m.Place(MANY + 1, 0, SYMBOL, MANY + 1, 2, m.SELL, 1_000, 1)


def linked() -> tuple[Engine, m.Command]:
    engine = Engine()
    terms = m.Terms(m.TRIGGER_STOP, 900)
    for n in range(1, 3 * MANY, 3):
        limit = m.Place(n, 0, SYMBOL, n, n, m.SELL, 2_000, 1)
        stop = m.Place(n + 1, 0, SYMBOL, n + 1, n, m.SELL, 900, 1, terms=terms)
        engine.apply(m.PlaceList(n, 0, SYMBOL, n, m.OCO, [limit, stop]))
    return engine, m.Cancel(1, 0, SYMBOL, 1)


def timed_and_limited() -> tuple[Engine, m.Command]:
    engine = Engine()
    for n in range(1, MANY + 1):
        engine.apply(m.CancelAfter(n, 0, SYMBOL, n, 50))
        engine.apply(m.SetLimits(n, 0, SYMBOL, n, 5, 5))
    return engine, m.CancelAfter(1, 0, SYMBOL, 5, 60)


def leaving() -> tuple[Engine, m.Command]:
    engine = Engine()
    for n in range(1, MANY + 1):
        engine.apply(m.Place(n, 0, SYMBOL, n, 7, m.BUY, 1_000 - n % 50, 1))
    return engine, m.CancelAll(1, 0, SYMBOL, 7)


@pytest.mark.parametrize("build", [triggered, trailing, linked, timed_and_limited, leaving])
def test_hash_after_a_command_costs_little_beside_much_state(
    build: Callable[[], tuple[Engine, m.Command]],
) -> None:
    engine, command = build()
    advanced_hash(engine)
    engine.apply(command)
    steps = steps_of(lambda: advanced_hash(engine))
    assert advanced_hash(engine) == advanced_hash_afresh(engine)
    assert steps < DIGEST_STEPS_MAX
    assert state_hash(snapshot_decode(snapshot_encode(engine))) == state_hash(engine)


def test_a_command_of_another_symbol_leaves_the_hash_of_this_one() -> None:
    engine, command = timed_and_limited()
    advanced = engine.book(SYMBOL).advanced
    assert advanced is not None
    advanced_hash(engine)
    kept = advanced.kept_hash
    engine.apply(m.CancelAfter(1, 0, 2, 5, 60))
    assert advanced.kept_hash is kept is not None
    engine.apply(command)
    assert advanced.kept_hash is None
