"""One symbol, two traders, and nothing left over in this process from the test before.

Imports are inside: this file is read before Django is set up.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.waiting import HANG_S

if TYPE_CHECKING:
    from exchange.models import Symbol
    from tests.factories.market import Market
    from tests.factories.trading import Trader


@pytest.fixture(autouse=True)
def fresh_process(transactional_db: None) -> Iterator[None]:
    """The intake thread commits on a connection of its own: these tests commit for real."""
    from tests.factories.trading import process_begin, process_end

    process_begin()
    yield
    process_end()


@pytest.fixture
def symbol(fresh_process: None) -> "Symbol":
    from tests.factories.models import SymbolFactory

    return SymbolFactory.create(code="BTC-USDT")


@pytest.fixture
def market(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> "Market":
    """With an intake that no busy machine makes impatient."""
    from exchange.domain.ids import IdGenerator
    from orders.intake import thread
    from tests.factories.market import market_make

    for name in ("DEADLINE_S", "ANSWER_S"):
        monkeypatch.setattr(thread, name, HANG_S)
    return market_make(ids=IdGenerator(9, lambda: time.time_ns() // 1_000_000), accounts=2)


@pytest.fixture
def ada(symbol: "Symbol") -> "Trader":
    from tests.factories.trading import fast_tier, trader_make

    return trader_make("ada", tier=fast_tier())


@pytest.fixture
def boris(symbol: "Symbol") -> "Trader":
    from tests.factories.trading import fast_tier, trader_make

    return trader_make("boris", tier=fast_tier())
