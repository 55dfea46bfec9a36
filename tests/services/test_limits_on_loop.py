"""Shared limits asked from an event loop: many requests share a round trip, each counts once."""

import asyncio
from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import redis_scripts
from exchange.infra.buckets import Rate
from exchange.infra.redis import redis_client
from exchange.infra.throttling import Guard, Ticket
from tests.factories.trading import redis_away

RATE = Rate(per_second=1, burst=30)
REQUESTS = 40


@pytest.fixture(autouse=True)
def redis_empty() -> None:
    redis_client().flushall()


def verdicts(guard: Guard, tickets: list[Ticket]) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.gather(
            *(guard.check_on_loop(ticket) for ticket in tickets), return_exceptions=True
        )

    return asyncio.run(run())


def test_every_request_counts_once_and_few_round_trips_are_made() -> None:
    client, guard = redis_client(), Guard()
    client.script_flush()  # as a Redis that is new: the script is sent again
    client.config_resetstat()
    answers = verdicts(guard, [Ticket("", "orders:1", RATE)] * REQUESTS)
    assert sum(verdict.wait_ms == 0 for verdict in answers) == RATE.burst
    calls = client.info("commandstats")
    counted = calls["cmdstat_hmget"]["calls"]
    assert counted == REQUESTS


def test_a_signature_passes_once() -> None:
    guard, other = Guard(), Guard()  # of another process: only Redis knows both
    once = Ticket("s" * 64, "orders:1", RATE)
    assert verdicts(guard, [once])[0].wait_ms == 0
    (refused,) = verdicts(other, [once])
    assert isinstance(refused, DomainError)
    assert refused.code is Code.AUTH_REPLAYED


def test_without_redis_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_scripts, "redis_client", redis_away)
    answers = verdicts(Guard(), [Ticket("", "orders:1", RATE)] * REQUESTS)
    assert sum(verdict.wait_ms == 0 for verdict in answers) == RATE.burst
