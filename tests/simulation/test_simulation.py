"""The whole exchange under seeded faults. What must hold after each life is in checks.py.

One failing seed: SIM_SEED=1234 pytest tests/simulation. More of them: SIM_SEEDS=2000.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import get_args

import psycopg
import pytest

from exchange.domain.enums import ListKind, OrderType
from exchange.infra.database import connect
from matching.engine import cascade, codes, plain
from matching.engine.messages import Command, Continue, ContinueNeeded, Event, OrderRepriced
from orders.recovery import snapshots
from tests.simulation.checks import check, check_audit
from tests.simulation.world import Simulation

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ACTIONS = 45
SEEDS = 120
SEEDS_PER_TEST = 20
FIRST_SEED = 1
# In every other group of seeds so little is done in one command that the rest goes on in others.
STEPS_IN_PIECES = 2
SNAPSHOT_EVERY_COMMANDS = 15
# Not in every twenty seeds: work that is cut, a post-only order that moves when it is triggered.
RARE = (ContinueNeeded, OrderRepriced)
# What twenty seeds are not without: faults, orders, commands, events and ends.
HAPPENS = (
    *("Killed", "LeaseLost", "EngineFailed", "an_audit_comes_by"),
    *(f"order {kind}" for kind in OrderType),
    *(f"list {kind}" for kind in ListKind),
    *(command.__name__ for command in get_args(Command) if command is not Continue),
    *(event.__name__ for event in get_args(Event) if event not in RARE),
    "released by its list",
    *(codes.EXPIRED, codes.BY_CANCEL_AFTER, codes.LIST_OTHER_TRADED, codes.LIST_OTHER_ENDED),
)


def seeds() -> list[int]:
    only = os.environ.get("SIM_SEED")
    if only:
        return [int(only)]
    return list(range(FIRST_SEED, FIRST_SEED + int(os.environ.get("SIM_SEEDS", SEEDS))))


def groups() -> list[list[int]]:
    found = seeds()
    return [found[start : start + SEEDS_PER_TEST] for start in range(0, len(found), SEEDS_PER_TEST)]


@pytest.fixture
def db() -> Iterator[psycopg.Connection]:
    with connect("test-simulation") as connection:
        yield connection


@pytest.fixture
def bounds(group: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are reached in a short life. Of the group: a replay must know the same ones."""
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY_COMMANDS", SNAPSHOT_EVERY_COMMANDS)
    if (group[0] - FIRST_SEED) // SEEDS_PER_TEST % 2:
        monkeypatch.setattr(cascade, "STEPS_PER_COMMAND_MAX", STEPS_IN_PIECES)
        monkeypatch.setattr(plain, "CANCELS_AT_ONCE_MAX", STEPS_IN_PIECES)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("group", groups(), ids=lambda group: f"{group[0]}-{group[-1]}")
def test_whatever_fails_every_accepted_order_ends_and_money_is_conserved(
    group: list[int], db: psycopg.Connection
) -> None:
    happened: Counter[str] = Counter()
    for seed in group:
        simulation = Simulation(seed, db)
        try:
            simulation.run(ACTIONS)
            simulation.heal()
            check(simulation)
        except Exception as error:
            raise AssertionError(f"reproduce with SIM_SEED={seed}: {error!r}") from error
        finally:
            simulation.close()
        happened.update(simulation.happened)
    check_audit(db)
    if len(group) == SEEDS_PER_TEST:
        missing = [name for name in HAPPENS if not happened[name]]
        assert not missing, "each of them does happen"
