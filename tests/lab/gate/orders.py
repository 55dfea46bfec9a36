"""What an order, an amend and a cancel cost on the event loop, an order in a batch of intake."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from django.core.handlers.wsgi import WSGIHandler

from config.demo.client import Signer
from config.resources import RESOURCES
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from exchange.models import Symbol
from exchange.selectors import catalogue_read
from exchange.web.door import Door
from orders.intake.batch import commit_batch
from orders.intake.jobs import PlaceJob
from orders.intake.process import intake_stop
from orders.intake.publish import RedisPublisher
from tests.factories.door import scope_of
from tests.factories.trading import JSON
from tests.lab.bench.intake import jobs_make
from tests.lab.bench.requests import MIXES, Mix, Request, Requests
from tests.lab.bench.whole import market_of
from tests.lab.clients.bots import Bot
from tests.lab.gate.turns import Turns, backend_ns, thread_ns, wal_records
from tests.steps import steps_of

HOST: Final = "127.0.0.1"
LANES: Final = 48
ORDERS: Final = 192  # in one turn
TURNS: Final = 30
WARM_TURNS: Final = 5
COUNTED_ORDERS: Final = 51
COUNTED_BATCHES: Final = 11
BATCH: Final = 32
BATCHES: Final = 3  # in one turn
ACCEPTED: Final = (201, 202)
# Each order has one amend, because no settlement ends it; what is cancelled was placed before.
AMENDS: Final = Mix(amends=1.0, open_min=COUNTED_ORDERS)
CANCELS: Final = Mix(cancels=1.0, open_min=COUNTED_ORDERS)

Call = tuple[dict[str, Any], bytes]


def loop_costs(symbol: Symbol, bots: Sequence[Bot]) -> tuple[dict[str, float], float]:
    """Return steps of each kind of request on the loop, from the door to its answer, and the time
    of an order.

    Intake's thread is beside it. Steps are those of the lone request that finds most in memory.
    """
    turns = Turns()
    door = Door(WSGIHandler(), threads=4, resources=RESOURCES)
    signed, places = _signer(bots), _requests(symbol, bots, MIXES["places"], "gate")
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def answered(orders: int) -> Callable[[], None]:
            work = [signed(places.next()) for _ in range(orders)]
            return lambda: loop.run_until_complete(_answered(door, work))

        for _ in range(WARM_TURNS):
            answered(ORDERS)()
        steps = {"an order": min(steps_of(answered(1)) for _ in range(COUNTED_ORDERS))}
        for name, mix, method in (("an amend", AMENDS, "PATCH"), ("a cancel", CANCELS, "DELETE")):
            requests = _requests(symbol, bots, mix, method)
            alone = partial(_alone, loop, door, signed, requests)
            steps[name] = min(_steps_alone(alone, method) for _ in range(COUNTED_ORDERS))
        for _ in range(TURNS):
            turns.take(partial(_each, answered(ORDERS)))
    intake_stop()
    (ratio,) = turns.medians
    return {f"loop: steps of {name}": count for name, count in steps.items()}, ratio


def _alone(
    loop: asyncio.AbstractEventLoop,
    door: Door,
    signed: Callable[[Request], Call],
    requests: Requests,
) -> tuple[str, int]:
    """Send the next request alone; return its method and its steps."""
    request = requests.next()
    call, answers = signed(request), []

    def work() -> None:
        answers.append(loop.run_until_complete(_answer(door, call)))

    steps = steps_of(work)
    requests.accepted(request, msgspec.json.decode(answers[0])["id"])
    return request.method, steps


def _steps_alone(alone: Callable[[], tuple[str, int]], method: str) -> int:
    """Return the steps of the next request of this method; others are sent on the way."""
    sent, steps = alone()
    while sent != method:
        sent, steps = alone()
    return steps


def _each(work: Callable[[], None]) -> tuple[float]:
    return (thread_ns(work) / ORDERS,)


def _requests(symbol: Symbol, bots: Sequence[Bot], mix: Mix, mark: str) -> Requests:
    share = 0.3 if mix == MIXES["places"] else 0.0
    market = market_of([symbol])
    return Requests(market, mix, users=len(bots), trading_share=share, seed=1, mark=mark)


def _signer(bots: Sequence[Bot]) -> Callable[[Request], Call]:
    """Return what signs a request now, and gives it as the server hands it to the door."""
    signers = [Signer(HOST, credentials) for credentials in (bot.credentials for bot in bots)]

    def signed(request: Request) -> Call:
        head = signers[request.user].request(request.method, request.path, request.body)
        lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        return scope_of(request.method, request.path, request.body, JSON, headers), request.body

    return signed


async def _answered(door: Door, work: Sequence[Call]) -> None:
    await asyncio.gather(*(_lane(door, work[lane::LANES]) for lane in range(min(LANES, len(work)))))


async def _lane(door: Door, work: Sequence[Call]) -> None:
    for call in work:
        await _answer(door, call)


async def _answer(door: Door, call: Call) -> bytes:
    """Return the body of the door's answer, which must say that the request was accepted."""
    scope, body = call
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await door(scope, receive, send)
    assert sent[0]["status"] in ACCEPTED, sent
    return bytes(sent[1]["body"])


def intake_costs(symbol: Symbol, bots: list[Bot]) -> tuple[dict[str, float], dict[str, float]]:
    """Return counts and times of an order of a batch, in intake's thread and its Postgres."""
    turns, jobs = Turns(), _jobs(symbol, bots)
    ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
    publisher = RedisPublisher()
    with connect("bench-gate", keep_plans=True) as connection:
        pid = connection.info.backend_pid

        def commit(batches: list[list[PlaceJob]]) -> None:
            for batch in batches:
                assert not commit_batch(connection, batch, publisher, next_id=ids.next_id)

        def costs(batches: list[list[PlaceJob]]) -> tuple[float, float]:
            before = backend_ns(pid)
            ours = thread_ns(partial(commit, batches))
            return ours / BATCH / BATCHES, (backend_ns(pid) - before) / BATCH / BATCHES

        commit([next(jobs) for _ in range(WARM_TURNS * BATCHES)])
        counted = [next(jobs) for _ in range(COUNTED_BATCHES)]
        steps = statistics.median(steps_of(partial(commit, [one])) for one in counted)
        records = wal_records(connection)
        commit([next(jobs) for _ in range(COUNTED_BATCHES)])
        records = wal_records(connection) - records
        for _ in range(TURNS):
            batches = [next(jobs) for _ in range(BATCHES)]
            turns.take(partial(costs, batches))
    ours, theirs = turns.medians
    return (
        {
            "intake: steps of an order": steps / BATCH,
            "intake: WAL records of an order": records / COUNTED_BATCHES / BATCH,
        },
        {"intake: an order, in units": ours, "intake: an order in Postgres, in units": theirs},
    )


def _jobs(symbol: Symbol, bots: list[Bot]) -> Iterator[list[PlaceJob]]:
    rules = catalogue_read().symbols_by_id[symbol.pk]
    for number in itertools.count():
        yield jobs_make(symbol.code, f"g{number}", BATCH, rules, bots)
