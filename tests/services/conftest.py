"""What most tests of services stand on: a clock of their own, a market, what is around it.

Models can be imported once the servers stand, which is after this file is read: so each fixture
imports what it makes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

    from tests.factories.desk import Desk
    from tests.factories.market import Market
    from tests.factories.worker import Surroundings, TestClock


@pytest.fixture
def clock() -> "TestClock":
    from tests.factories.worker import TestClock

    return TestClock()


@pytest.fixture
def market(clock: "TestClock") -> "Market":
    from exchange.domain.ids import IdGenerator
    from tests.factories.market import market_make

    return market_make(ids=IdGenerator(1, clock.now_ms))


@pytest.fixture
def around(market: "Market", clock: "TestClock") -> Iterator["Surroundings"]:
    from tests.factories.worker import Surroundings

    surroundings = Surroundings(market, clock)
    yield surroundings
    surroundings.close()


@pytest.fixture
def db() -> Iterator["psycopg.Connection"]:
    from exchange.infra.database import connect

    with connect("test") as connection:
        yield connection


@pytest.fixture
def desk(db: "psycopg.Connection", market: "Market", clock: "TestClock") -> Iterator["Desk"]:
    from tests.factories.desk import Desk

    desk = Desk(market, clock, db)
    yield desk
    desk.around.close()
