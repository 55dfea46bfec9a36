"""What an order costs on the event loop, and in a batch of intake, in units of a fixed work."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.core.handlers.wsgi import WSGIHandler

from config.demo.client import Signer
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from exchange.models import Symbol
from exchange.selectors import catalogue_read
from exchange.web.door import Door
from orders.api.urls import RESOURCES
from orders.intake.batch import commit_batch
from orders.intake.jobs import PlaceJob
from orders.intake.process import intake_stop
from orders.intake.publish import RedisPublisher
from tests.factories.door import scope_of
from tests.factories.trading import JSON
from tests.lab.bench.intake import jobs_make
from tests.lab.bench.requests import MIXES, Requests
from tests.lab.bench.whole import market_of
from tests.lab.clients.bots import Bot
from tests.lab.gate.turns import Turns, backend_ns, thread_ns

HOST: Final = "127.0.0.1"
LANES: Final = 48
ORDERS: Final = 192  # in one turn
TURNS: Final = 30
WARM_TURNS: Final = 5
BATCH: Final = 32
BATCHES: Final = 3  # in one turn
CREATED: Final = 201

Call = tuple[dict[str, Any], bytes]


def loop_ratio(symbol: Symbol, bots: Sequence[Bot]) -> float:
    """Return the cost of an order on the loop, from the door to its answer; intake is beside it."""
    turns = Turns()
    door = Door(WSGIHandler(), threads=4, resources=RESOURCES)
    calls = _calls(symbol, bots)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        for turn in range(WARM_TURNS + TURNS):
            work = [next(calls) for _ in range(ORDERS)]

            def costs(work: list[Call] = work) -> tuple[float]:
                spent = thread_ns(lambda: loop.run_until_complete(_answered(door, work)))
                return (spent / ORDERS,)

            if turn < WARM_TURNS:
                costs()
            else:
                turns.take(costs)
    intake_stop()
    (ratio,) = turns.medians
    return ratio


def _calls(symbol: Symbol, bots: Sequence[Bot]) -> Iterator[Call]:
    """Yield placements as the server hands them to the door, each signed when it is asked for."""
    requests = Requests(
        market_of([symbol]),
        MIXES["places"],
        users=len(bots),
        trading_share=0.3,
        seed=1,
        mark="gate",
    )
    signers = [Signer(HOST, credentials) for credentials in (bot.credentials for bot in bots)]
    while True:
        request = requests.next()
        signed = signers[request.user].request(request.method, request.path, request.body)
        lines = signed.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        yield scope_of(request.method, request.path, request.body, JSON, headers), request.body


async def _answered(door: Door, work: Sequence[Call]) -> None:
    await asyncio.gather(*(_lane(door, work[lane::LANES]) for lane in range(LANES)))


async def _lane(door: Door, work: Sequence[Call]) -> None:
    for scope, body in work:
        sent: list[dict[str, Any]] = []

        async def receive(body: bytes = body) -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        await door(scope, receive, send)
        assert sent[0]["status"] == CREATED, sent


def intake_ratios(symbol: Symbol, bots: list[Bot]) -> list[float]:
    """Return the cost of an order of a batch: in intake's thread, and in its Postgres process."""
    turns = Turns()
    rules = catalogue_read().symbols_by_id[symbol.pk]
    ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
    publisher = RedisPublisher()
    with connect("bench-gate", keep_plans=True) as connection:
        pid = connection.info.backend_pid
        for turn in range(WARM_TURNS + TURNS):
            jobs = jobs_make(symbol.code, f"g{turn}", BATCH * BATCHES, rules, bots)

            def commit(jobs: list[PlaceJob] = jobs) -> None:
                for first in range(0, len(jobs), BATCH):
                    batch = jobs[first : first + BATCH]
                    assert not commit_batch(connection, batch, publisher, next_id=ids.next_id)

            def costs(commit: Callable[[], None] = commit) -> tuple[float, float]:
                before = backend_ns(pid)
                ours = thread_ns(commit)
                return ours / BATCH / BATCHES, (backend_ns(pid) - before) / BATCH / BATCHES

            if turn < WARM_TURNS:
                costs()
            else:
                turns.take(costs)
    return turns.medians
