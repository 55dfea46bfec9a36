"""Real transactions, real time: the shared fixtures (tests/fixtures.py) for two actors at once.

Imports are inside: this file is read before Django is set up.
"""

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import HANG_S

if TYPE_CHECKING:
    from exchange.domain.ids import IdGenerator


@pytest.fixture(autouse=True)
def fresh(fresh_process: None) -> None:
    """Every test here begins with a process that keeps nothing."""


@pytest.fixture
def ids() -> "IdGenerator":
    """Of the real time: several threads ask, and a clock that stands would run out of ids."""
    from exchange.domain.ids import IdGenerator

    return IdGenerator(9, lambda: time.time_ns() // 1_000_000)


@pytest.fixture
def market_terms(fresh_process: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two traders, and an intake that no busy machine makes impatient."""
    from orders.intake import jobs, thread

    for module, name in ((thread, "DEADLINE_S"), (thread, "STOP_S"), (jobs, "ANSWER_S")):
        monkeypatch.setattr(module, name, HANG_S)
    return {"accounts": 2}
