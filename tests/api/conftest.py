"""One symbol, two traders, and nothing left over in this process from the test before.

Imports are inside: this file is read before Django is set up.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from exchange.models import Symbol
    from tests.factories.trading import Trader


@pytest.fixture(autouse=True)
def fresh_process(transactional_db: None) -> Iterator[None]:
    """The intake thread commits on a connection of its own: these tests commit for real."""
    from tests.factories.trading import process_begin, process_end

    process_begin()
    yield
    process_end()


@pytest.fixture(autouse=True, params=["thread", "loop"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way the traders' requests are answered: every test of the API is run on both."""
    from tests.factories import trading
    from tests.factories.door import DoorClient

    if request.param == "loop":
        monkeypatch.setattr(trading, "Client", DoorClient)
    return str(request.param)


@pytest.fixture
def symbol(fresh_process: None) -> "Symbol":
    from tests.factories.models import SymbolFactory

    return SymbolFactory.create(code="BTC-USDT")


@pytest.fixture
def ada(symbol: "Symbol") -> "Trader":
    from tests.factories.trading import fast_tier, trader_make

    return trader_make("ada", tier=fast_tier())


@pytest.fixture
def boris(symbol: "Symbol") -> "Trader":
    from tests.factories.trading import fast_tier, trader_make

    return trader_make("boris", tier=fast_tier())
