"""The load generator: one process, many keep-alive connections, signed single-order requests.

    python -m tests.lab.bench.load_generator < plan.json > result.json

It imports only the public client, neither Django nor the exchange, so that it uses as little as
possible of the machine that it measures. The flow is seeded: a share of the orders trades at one
price, the others rest on levels around it.
"""

import sys
import time
from collections import Counter
from random import Random
from typing import Final

import msgspec

from config.demo.client import Credentials, Signer, address_of
from tests.lab.clients.connections import Answer, Connections
from tests.lab.clients.latency import Latencies

WAIT_SECONDS: Final = 0.05
DRAIN_SECONDS: Final = 10.0
LEVELS: Final = 400
_ENCODE: Final = msgspec.json.Encoder().encode


class LoadPlan(msgspec.Struct):
    """What to send; prices are whole ticks and quantities whole lots of the symbol."""

    url: str
    symbol: str
    credentials: list[tuple[str, str]]  # the first half buys, the second half sells
    seconds: float
    rate: float  # orders a second; 0: closed loop, each connection sends after its answer
    connections: int
    trading_share: float
    seed: int
    mark: str  # begins every client order id
    price_ticks: int = 100_000
    tick: str = "0.01"
    quantity: str = "0.01"


class LoadResult(msgspec.Struct):
    """Counts, and latencies in milliseconds from the time a request was due."""

    sent: int
    accepted: int
    seconds: float
    cpu_seconds: float
    refused: dict[str, int]
    lost: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    ended_at: float  # wall clock, when the last answer came

    @property
    def errors(self) -> int:
        """The number of requests that were lost or refused."""
        return self.lost + sum(self.refused.values())


class _Orders:
    """The seeded stream of order bodies, each with the user that sends it."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._random = Random(plan.seed)  # a load, not a secret
        self._half = len(plan.credentials) // 2
        self._number = 0
        self._turns = [0, 0]
        self._meeting_side = 0
        places = len(plan.tick.partition(".")[2])
        levels = range(plan.price_ticks - LEVELS, plan.price_ticks + LEVELS + 1)
        self._prices = {
            ticks: f"{ticks // 10**places}.{ticks % 10**places:0{places}d}" for ticks in levels
        }

    def next(self) -> tuple[int, bytes]:
        """Return the next order: the sender's index and the body."""
        plan, random = self._plan, self._random
        self._number += 1
        ticks = plan.price_ticks
        if random.random() < plan.trading_share:
            # Sides alternate at one price: an order trades with a resting one, or rests itself.
            side = self._meeting_side
            self._meeting_side = 1 - side
        else:
            side = random.randrange(2)
            away = random.randrange(1, LEVELS)
            ticks += away if side else -away
        turn = self._turns[side] = (self._turns[side] + 1) % self._half
        body = b'{"symbol":"%b","side":"%b","type":"limit","client_order_id":"%b.%d",' % (
            plan.symbol.encode(),
            b"sell" if side else b"buy",
            plan.mark.encode(),
            self._number,
        )
        price = self._prices[ticks].encode()
        body += b'"price":"%b","quantity":"%b"}' % (price, plan.quantity.encode())
        return turn + side * self._half, body


class Load:
    """One run of a plan."""

    def __init__(self, plan: LoadPlan) -> None:
        host, port = address_of(plan.url)
        self.plan = plan
        self.signers = [
            Signer(f"{host}:{port}", Credentials(key, secret)) for key, secret in plan.credentials
        ]
        self.connections: Connections[float] = Connections(plan.url, plan.connections)
        self.orders = _Orders(plan)
        self.latencies = Latencies()
        self.refused: Counter[str] = Counter()
        self.sent = self.accepted = self.lost = 0
        self.ended_at = 0.0

    def run(self) -> LoadResult:
        """Send for the planned time, then wait up to DRAIN_SECONDS for the missing answers."""
        started = time.perf_counter()
        if self.plan.rate > 0:
            self._at_rate(started)
        else:
            self._closed_loop(started)
        seconds = time.perf_counter() - started
        deadline = time.perf_counter() + DRAIN_SECONDS
        while self.connections.waiting and time.perf_counter() < deadline:
            self._collect(WAIT_SECONDS)
        self.lost += self.connections.waiting
        self.connections.close()
        return self._result(seconds)

    def _closed_loop(self, started: float) -> None:
        end = started + self.plan.seconds
        while (now := time.perf_counter()) < end:
            while self.connections.free:
                self._send(now)
                now = time.perf_counter()
            self._collect(WAIT_SECONDS)

    def _at_rate(self, started: float) -> None:
        """Send each order when it is due; waiting for a free connection counts as latency."""
        total = int(self.plan.seconds * self.plan.rate)
        interval = 1 / self.plan.rate
        while self.sent < total:
            now = time.perf_counter()
            due = started + self.sent * interval
            while due <= now and self.connections.free and self.sent < total:
                self._send(due)
                due = started + self.sent * interval
            self._collect(max(0.0, min(WAIT_SECONDS, due - time.perf_counter())))

    def _send(self, due: float) -> None:
        user, body = self.orders.next()
        self.sent += 1
        self.connections.send(self.signers[user].request("POST", "/api/v1/orders", body), due)

    def _collect(self, seconds: float) -> None:
        if self.connections.waiting == 0:
            time.sleep(seconds)
            return
        for answer in self.connections.wait(seconds):
            self._answered(answer)

    def _answered(self, answer: Answer[float]) -> None:
        if answer.response is None:
            self.lost += 1
            return
        self.latencies.add(time.perf_counter() - answer.tag)
        self.ended_at = time.time()
        if answer.response.status == 201:
            self.accepted += 1
        else:
            self.refused[f"{answer.response.status} {answer.response.code()}"] += 1

    def _result(self, seconds: float) -> LoadResult:
        p50, p95, p99 = (self.latencies.percentile_seconds(one) * 1e3 for one in (50, 95, 99))
        return LoadResult(
            self.sent,
            self.accepted,
            seconds,
            time.process_time(),
            dict(self.refused),
            self.lost,
            p50,
            p95,
            p99,
            self.latencies.max_seconds * 1e3,
            self.ended_at,
        )


def main() -> None:
    """Read a plan, run it, write the result."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    sys.stdout.buffer.write(msgspec.json.encode(Load(plan).run()))


if __name__ == "__main__":
    main()
