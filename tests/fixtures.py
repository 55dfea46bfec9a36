"""Fixtures for tests on a database: a market with funded traders, and the roles around it.

    logged      what was logged of an event
    market      one symbol in a partition of its own, three accounts with funds
    venue       the same with its intake, worker and settlement
    partition   a market and its worker; jobs go through one intake batch and one turn
    rig         a market without processes, a seller and a buyer (tests of the ledger)
    ada, boris  two traders who speak HTTP, on BTC-USDT
    root        a browser in which a superuser is signed in

A file that needs other traders or funds overrides `market_terms`. Each fixture imports its classes
itself: models can be imported only after the servers have started, and this file is read before.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg
    from django.test import Client

    from exchange.domain.ids import IdGenerator
    from exchange.models import Symbol
    from orders.intake.thread import Intake
    from tests.factories.ledger import Rig
    from tests.factories.market import Market
    from tests.factories.partition import Partition
    from tests.factories.trading import Trader
    from tests.factories.venue import Venue
    from tests.factories.worker import Surroundings, TestClock, WorkerProcess


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict[str, Any]]]:
    """The lines of an event that were logged in this test so far, with all that they say.

    They are read where every logger sends them. A logger keeps the processors that it found when
    it was first used: structlog's own capture does not see it where logging was configured since.
    """

    def lines(event: str) -> list[dict[str, Any]]:
        every = (record.msg for record in caplog.records)
        return [line for line in every if isinstance(line, dict) and line["event"] == event]

    return lines


@pytest.fixture
def clock() -> "TestClock":
    from tests.factories.worker import TestClock

    return TestClock()


@pytest.fixture
def ids(clock: "TestClock") -> "IdGenerator":
    from exchange.domain.ids import IdGenerator

    return IdGenerator(1, clock.now_ms)


@pytest.fixture
def market_terms() -> dict[str, Any]:
    """What `market` is made with: `accounts`, `funds`."""
    return {}


@pytest.fixture
def market(ids: "IdGenerator", market_terms: dict[str, Any]) -> "Market":
    from tests.factories.market import market_make

    return market_make(ids=ids, **market_terms)


@pytest.fixture
def around(market: "Market", clock: "TestClock") -> Iterator["Surroundings"]:
    from tests.factories.worker import Surroundings

    surroundings = Surroundings(market, clock)
    yield surroundings
    surroundings.close()


@pytest.fixture
def worker(around: "Surroundings") -> "WorkerProcess":
    return around.start()


@pytest.fixture
def intake(market: "Market") -> Iterator["Intake"]:
    from tests.factories.intake import intake_start

    intake = intake_start(market, publisher=market.publisher)
    yield intake
    intake.stop()


@pytest.fixture
def db() -> Iterator["psycopg.Connection"]:
    from exchange.infra.database import connect

    with connect("test") as connection:
        yield connection


@pytest.fixture
def venue(
    market: "Market",
    intake: "Intake",
    around: "Surroundings",
    worker: "WorkerProcess",
    db: "psycopg.Connection",
) -> "Venue":
    from tests.factories.venue import Venue

    return Venue(market, intake, around, worker, db)


@pytest.fixture
def partition(
    db: "psycopg.Connection", market: "Market", clock: "TestClock"
) -> Iterator["Partition"]:
    from tests.factories.partition import Partition

    partition = Partition(market, clock, db)
    yield partition
    partition.around.close()


@pytest.fixture
def rig(db: "psycopg.Connection") -> "Rig":
    """The market of the ledger's tests: its seller has 10 of base, its buyer 10,000 of quote."""
    from tests.factories.ledger import Rig

    rig = Rig(db)
    rig.seller, rig.buyer = rig.trader(base="10"), rig.trader(quote="10000")
    return rig


@pytest.fixture
def fresh_process(transactional_db: None) -> Iterator[None]:
    """Nothing left over in this process; its intake commits on a connection of its own."""
    from tests.factories.trading import process_begin, process_end

    process_begin()
    yield
    process_end()


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


@pytest.fixture
def root(client: "Client") -> "Client":
    """A browser in which a superuser is signed in."""
    from tests.factories.models import UserFactory

    client.force_login(UserFactory.create(superuser=True, username="root", password="x"))
    return client
