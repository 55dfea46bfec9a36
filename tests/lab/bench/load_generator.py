"""The load generator: one process, many keep-alive connections, one signed request at a time each.

    python -m tests.lab.bench.load_generator < plan.json > result.json

It imports only the public client, neither Django nor the exchange, so that it uses as little as
possible of the machine that it measures. What it sends is seeded (tests/lab/bench/requests.py).
"""

import re
import sys
import time
from array import array
from collections import Counter
from itertools import accumulate
from typing import Final

import msgspec

from config.demo.client import TIMEOUT_SECONDS, Credentials, Signer, address_of
from config.demo.responses import Response
from tests.lab.bench.requests import BATCH_PATH, Market, Mix, Request, Requests
from tests.lab.clients.connections import Answer, Connections
from tests.lab.clients.latency import Latencies

WAIT_SECONDS: Final = 0.05
DRAIN_SECONDS: Final = 10.0
# Answers are read at least after so many requests, so that they do not wait for those still due.
SENT_AT_ONCE_MAX: Final = 32
WINDOWS_MAX: Final = 200
ROUNDING: Final = 1e-6
_ORDER_ID: Final = re.compile(rb'"id": ?"(\d+)"').search
_COMMAND_ID: Final = re.compile(rb'"command_id": ?"(\d+)"').search
# The engine was faster or slower than the bot; not a fault of either.
RACES: Final = {"409 order.amend_pending", "409 order.not_open"}
_TOLD_WHEN: Final = (429, 503)  # must say when to come again
_HAD_EFFECT: Final = (200, 201, 202)


class Phase(msgspec.Struct, frozen=True):
    """A time in seconds, and its requests a second. Rate 0 is a closed loop: each connection sends
    after its answer."""

    seconds: float
    rate: float = 0.0


class LoadPlan(msgspec.Struct):
    """What to send, by whom and when."""

    url: str
    market: Market
    credentials: list[tuple[str, str]]  # the first half buys, the second half sells
    phases: list[Phase]  # one after the other
    connections: int
    trading_share: float
    seed: int
    mark: str  # begins every client order id
    mix: Mix = Mix()
    batch: int = 1  # orders in a request
    patience_seconds: float = TIMEOUT_SECONDS  # a request that finds no connection is given up

    @property
    def seconds(self) -> float:
        """The length of all phases."""
        return sum(phase.seconds for phase in self.phases)


class _Placed(msgspec.Struct):
    id: str


class _Why(msgspec.Struct):
    code: str


class _Result(msgspec.Struct):
    status: int
    order: _Placed | None = None
    error: _Why | None = None


class _Batch(msgspec.Struct):
    results: list[_Result]


_batch_decode: Final = msgspec.json.Decoder(_Batch).decode


class Window(msgspec.Struct):
    """Answers to what was due within one part of the run; latencies are those of accepted ones."""

    from_second: float
    accepted: int
    refused: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LoadResult(msgspec.Struct):
    """Counts, and latencies of accepted requests in milliseconds from when each was due."""

    sent: int
    accepted: int
    seconds: float
    cpu_seconds: float
    refused: dict[str, int]
    refused_p99_ms: float
    untold: int  # refusals with 429 or 503 that do not say when to come again
    lost: int
    given_up: int  # found no free connection in time, and were not sent
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    ended_at: float  # wall clock, when the last answer came
    windows: list[Window]
    phases: list[Window]  # in the order of the plan
    order_ids: bytes  # of accepted placements, as 64-bit integers
    command_ids: bytes  # of accepted cancels and amends

    @property
    def orders(self) -> int:
        """The number of accepted placements."""
        return len(self.order_ids) // 8

    @property
    def errors(self) -> int:
        """How many requests were lost, not sent, or refused for other reasons than RACES."""
        refused = sum(count for code, count in self.refused.items() if code not in RACES)
        return self.lost + self.given_up + refused


class _Tag(msgspec.Struct, gc=False):
    """What a connection carries: when it was due, and in which phase."""

    due: float
    phase: "_Counts"
    request: Request


class _Counts:
    """The answers within one window or phase."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.refused = 0

    def window(self, from_second: float) -> Window:
        return Window(
            from_second, self.latencies.count, self.refused, *self.latencies.percentiles_ms()
        )


class Load:
    """One run of a plan."""

    def __init__(self, plan: LoadPlan) -> None:
        host, port = address_of(plan.url)
        self.plan = plan
        self.signers = [
            Signer(f"{host}:{port}", Credentials(key, secret)) for key, secret in plan.credentials
        ]
        self.connections: Connections[_Tag] = Connections(plan.url, plan.connections)
        self.requests = Requests(
            plan.market,
            plan.mix,
            users=len(plan.credentials),
            trading_share=plan.trading_share,
            seed=plan.seed,
            mark=plan.mark,
            batch=plan.batch,
        )
        self.window_seconds = 1.0 if plan.seconds <= WINDOWS_MAX else 60.0
        self.windows: dict[int, _Counts] = {}
        self.phases = [_Counts() for _ in plan.phases]
        self.phase = self.phases[0]
        self.refusals = Latencies()
        self.refused: Counter[str] = Counter()
        self.order_ids, self.command_ids = array("Q"), array("Q")
        self.sent = self.untold = self.lost = self.given_up = 0
        self.started = self.ended_at = 0.0

    def run(self) -> LoadResult:
        """Send for the planned time, then wait up to DRAIN_SECONDS for the missing answers."""
        began = self.started = time.perf_counter()
        for phase, counts in zip(self.plan.phases, self.phases, strict=True):
            self.phase = counts
            if phase.rate > 0:
                self._at_rate(phase, began)
            else:
                self._closed_loop(began + phase.seconds)
            began += phase.seconds
        seconds = time.perf_counter() - self.started
        deadline = time.perf_counter() + DRAIN_SECONDS
        while self.connections.waiting and time.perf_counter() < deadline:
            self._collect(WAIT_SECONDS)
        self.lost += self.connections.waiting
        self.connections.close()
        return self._result(seconds)

    def _closed_loop(self, end: float) -> None:
        while (now := time.perf_counter()) < end:
            while self.connections.free:
                self._send(now)
                now = time.perf_counter()
            self._collect(WAIT_SECONDS)

    def _at_rate(self, phase: Phase, began: float) -> None:
        """Send each request when it is due, whatever became of those before.

        Waiting for a free connection counts as latency: it counts from when the request was due.
        """
        total, number = int(phase.seconds * phase.rate), 0
        while number < total:
            upto = min(number + SENT_AT_ONCE_MAX, total)
            now = time.perf_counter()
            while number < upto and (due := began + number / phase.rate) <= now:
                if now - due > self.plan.patience_seconds:
                    self.given_up += 1
                elif self.connections.free:
                    self._send(due)
                else:
                    break
                number += 1
            wait = began + number / phase.rate - time.perf_counter()
            self._collect(max(0.0, min(WAIT_SECONDS, wait)))

    def _send(self, due: float) -> None:
        request = self.requests.next()
        self.sent += 1
        signed = self.signers[request.user].request(request.method, request.path, request.body)
        self.connections.send(signed, _Tag(due, self.phase, request))

    def _collect(self, seconds: float) -> None:
        if self.connections.waiting == 0:
            time.sleep(seconds)
            return
        for answer in self.connections.wait(seconds):
            self._answered(answer)

    def _answered(self, answer: Answer[_Tag]) -> None:
        tag, response = answer.tag, answer.response
        if response is None:
            self.lost += 1
            return
        seconds = time.perf_counter() - tag.due
        self.ended_at = time.time()
        at = int((tag.due - self.started) / self.window_seconds + ROUNDING)
        window = self.windows.get(at)
        if window is None:
            window = self.windows[at] = _Counts()
        if response.status in _HAD_EFFECT:
            window.latencies.add(seconds)
            tag.phase.latencies.add(seconds)
            self._accepted(tag.request, response)
        else:
            window.refused += 1
            tag.phase.refused += 1
            self.refusals.add(seconds)
            self._refused(tag.request, response)

    def _accepted(self, request: Request, response: Response) -> None:
        if request.path == BATCH_PATH:
            self._batch_accepted(response)
            return
        order_id, command_id = _ORDER_ID(response.body), _COMMAND_ID(response.body)
        assert order_id is not None, response.body
        self.requests.accepted(request, order_id[1].decode())
        if command_id is None:
            self.order_ids.append(int(order_id[1]))
        else:
            self.command_ids.append(int(command_id[1]))

    def _batch_accepted(self, response: Response) -> None:
        """Count each order of a batch: a batch that is answered may have refused some of them."""
        for result in _batch_decode(response.body).results:
            if result.order is not None:
                self.order_ids.append(int(result.order.id))
            else:
                code = result.error.code if result.error is not None else ""
                self.refused[f"{result.status} {code}"] += 1

    def _refused(self, request: Request, response: Response) -> None:
        self.refused[f"{response.status} {response.code()}"] += 1
        if response.status in _TOLD_WHEN:
            self.requests.refused(request)
            self.untold += response.header("Retry-After") is None

    def _result(self, seconds: float) -> LoadResult:
        latencies = Latencies()
        for counts in self.phases:
            latencies.add_all(counts.latencies)
        starts = accumulate((phase.seconds for phase in self.plan.phases), initial=0.0)
        return LoadResult(
            self.sent,
            latencies.count,
            seconds,
            time.process_time(),
            dict(self.refused),
            self.refusals.percentile_seconds(99) * 1e3,
            self.untold,
            self.lost,
            self.given_up,
            *latencies.percentiles_ms(),
            latencies.max_seconds * 1e3,
            self.ended_at,
            [
                counts.window(at * self.window_seconds)
                for at, counts in sorted(self.windows.items())
            ],
            [counts.window(start) for start, counts in zip(starts, self.phases, strict=False)],
            self.order_ids.tobytes(),
            self.command_ids.tobytes(),
        )


def main() -> None:
    """Read a plan, run it, write the result."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    sys.stdout.buffer.write(msgspec.json.encode(Load(plan).run()))


if __name__ == "__main__":
    main()
