"""orders.reads.look_ups on a loop: look-ups of one moment share a statement, never their rows."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from orders.reads.look_ups import order_look_up
from tests.factories.market import Market

UNKNOWN = 1 << 40

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_owner_finds_own_orders_alone_however_many_ask_at_once(
    market: Market, db: Any
) -> None:
    jobs = [market.place_job(owner, Side.BUY, 1, 100) for owner in (0, 1)]
    first, second = (market.submit(db, job)[0] for job in jobs)
    ada, bob = (job.account_id for job in jobs)
    asked = [(first, ada), (first, bob), (second, bob), (UNKNOWN, ada), (second, ada), (first, ada)]

    async def ask() -> Sequence[Any]:
        look_ups = (order_look_up(order_id=one, account_id=account) for one, account in asked)
        answers: Sequence[Any] = await asyncio.gather(*look_ups, return_exceptions=True)
        return answers

    answers = asyncio.run(ask())

    found = [None if isinstance(answer, DomainError) else answer["id"] for answer in answers]
    assert found == [first, None, second, None, None, first]
    refusals = {answer.code for answer in answers if isinstance(answer, DomainError)}
    assert refusals == {Code.ORDER_NOT_FOUND}


def test_a_look_up_opens_a_connection_anew_where_postgres_has_ended_the_last_one(
    market: Market, db: Any
) -> None:
    job = market.place_job(0, Side.BUY, 1, 100)
    order_id = market.submit(db, job)[0]

    def found() -> Any:
        return asyncio.run(order_look_up(order_id=order_id, account_id=job.account_id))["id"]

    assert found() == order_id
    ended = db.execute(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        " WHERE application_name = 'takas-order-look-ups' AND datname = current_database()"
    ).fetchone()
    assert ended[0] == 1

    assert found() == order_id
