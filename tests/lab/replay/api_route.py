"""Send a flow through the HTTP API, as signed single-order requests over keep-alive connections.

Several requests are in flight when the schedule proves that their order does not matter
(tests/lab/replay/schedule.py); all others are sent alone. A request with an unknown outcome is sent
again: the client order id makes that harmless.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from config.demo.client import Credentials, Signer, address_of
from config.demo.flow import FlowCommand
from config.demo.responses import Response
from tests.lab.clients.connections import Answer, Connections
from tests.lab.clients.latency import Latencies
from tests.lab.replay.progress import Pace, Progress
from tests.lab.replay.schedule import Schedule, Step
from tests.lab.replay.terms import AccountTurns, ReplayTerms

CONNECTIONS: Final = 32
ATTEMPTS_MAX: Final = 200
RETRY_SECONDS: Final = 0.25
WAIT_SECONDS: Final = 0.2
# Refusals that are over a moment later: the same request is sent again.
BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})
# A market order that arrives before the best price is published is sent again.
LATE_BOOK_CODES: Final = frozenset({"order.no_liquidity"})
# Orders of the flow that cannot be placed here (a price of 0), and cancels of ended orders.
EXPECTED_CODES: Final = frozenset(
    {"order.price_below_min", "order.quantity_below_min", "order.not_open", "order.not_found"}
)
_ENCODE: Final = msgspec.json.Encoder().encode


class ReplayFailed(Exception):
    """The flow cannot be sent further; the message names the command and the reason."""


@dataclass(slots=True)
class SendResult:
    """Counts and latencies of sending a flow."""

    sent: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by code; only expected ones
    retried: int = 0
    repeated: Counter[str] = field(default_factory=Counter)  # by the answer that made it necessary
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(slots=True)
class _Flight:
    """One command in flight: its request and the attempts made."""

    step: Step
    account: int
    method: str
    path: str
    body: bytes
    attempts: int = 0
    retry_at: float = 0.0


class ApiRoute:
    """One flow on its way through the API."""

    def __init__(
        self,
        base_url: str,
        terms: ReplayTerms,
        credentials: Sequence[Credentials],
        is_cancelled: Callable[[int], bool],
        *,
        connections: int = CONNECTIONS,
        attempts_max: int = ATTEMPTS_MAX,
        on_accepted: Callable[[Step, Response], None] | None = None,
        survives_faults: bool = False,
    ) -> None:
        """`is_cancelled` tells whether the flow cancels an order; only those orders are remembered.

        `on_accepted` is called for every acknowledgement. With `survives_faults` a request
        answered with 500 is repeated and counted, instead of ending the replay.
        """
        assert len(credentials) == 2 * terms.accounts_per_side
        host, port = address_of(base_url)
        self._signers = [Signer(f"{host}:{port}", one) for one in credentials]
        self._terms = terms
        self._turns = AccountTurns(terms.accounts_per_side)
        self._is_cancelled = is_cancelled
        self._attempts_max = attempts_max
        self._on_accepted = on_accepted
        self._repeat_statuses = BUSY_STATUSES | ({500} if survives_faults else set())
        self._connections: Connections[_Flight] = Connections(base_url, connections)
        self._schedule = Schedule()
        # Exchange's id and account of the orders that the flow has yet to cancel: memory does not
        # grow with the length of the flow.
        self._to_cancel: dict[int, tuple[str, int]] = {}
        self._again: deque[_Flight] = deque()
        self.result = SendResult()

    def send(self, commands: Iterable[FlowCommand], pace: Pace, progress: Progress) -> SendResult:
        """Send a flow in order; return when every command has an answer. Raises ReplayFailed."""
        try:
            for command in commands:
                step = self._terms.step(command)
                while (due := pace.wait_seconds(command.time_ms)) > 0:
                    self._collect(progress, min(due, WAIT_SECONDS))
                while self._connections.free == 0 or not self._schedule.admits(step):
                    self._collect(progress, WAIT_SECONDS)
                self._launch(command, step, progress)
            while self._schedule.in_flight:
                self._collect(progress, WAIT_SECONDS)
        finally:
            self._connections.close()
        self.result.seconds = progress.seconds
        return self.result

    def _launch(self, command: FlowCommand, step: Step, progress: Progress) -> None:
        if step.is_cancel:
            known = self._to_cancel.pop(command.order_id, None)
            if known is None:
                # The exchange refused its order, so there is nothing to cancel.
                self.result.refused["order.not_placed"] += 1
                progress.add()
                return
            flight = _Flight(step, known[1], "DELETE", f"/api/v1/orders/{known[0]}", b"")
        else:
            body = _ENCODE(self._terms.order(command))
            account = self._turns.take(command.side)
            flight = _Flight(step, account, "POST", "/api/v1/orders", body)
        self._schedule.sent(step)
        self.result.sent += 1
        self._fly(flight)

    def _fly(self, flight: _Flight) -> None:
        flight.attempts += 1
        request = self._signers[flight.account].request(flight.method, flight.path, flight.body)
        self._connections.send(request, flight)

    def _collect(self, progress: Progress, seconds: float) -> None:
        now = time.monotonic()
        for _ in range(len(self._again)):
            flight = self._again.popleft()
            if flight.retry_at <= now and self._connections.free:
                self._fly(flight)
            else:
                self._again.append(flight)
        pause = min(seconds, RETRY_SECONDS) if self._again else seconds
        if self._connections.waiting == 0:
            time.sleep(pause)
            return
        for answer in self._connections.wait(pause):
            self._answered(answer, progress)

    def _answered(self, answer: Answer[_Flight], progress: Progress) -> None:
        flight, response = answer.tag, answer.response
        if response is None or self._is_to_repeat(response):
            self._repeat(flight, response)
            return
        self.result.latencies.add(answer.seconds)
        if response.status < 300:
            self.result.accepted += 1
            if self._on_accepted is not None:
                self._on_accepted(flight.step, response)
            if not flight.step.is_cancel and self._is_cancelled(flight.step.order_id):
                order_id = str(response.json()["id"])
                self._to_cancel[flight.step.order_id] = (order_id, flight.account)
        else:
            self._refused(flight, response)
        self._schedule.acknowledged(flight.step)
        progress.add()

    def _refused(self, flight: _Flight, response: Response) -> None:
        code = response.code()
        if code not in EXPECTED_CODES:
            raise ReplayFailed(
                f"{flight.method} {flight.path} of the flow's order {flight.step.order_id}:"
                f" {response.status} {response.body[:300]!r}"
            )
        self.result.refused[code] += 1

    def _is_to_repeat(self, response: Response) -> bool:
        if response.status < 400:
            return False
        is_early = response.code() in LATE_BOOK_CODES
        return response.status in self._repeat_statuses or response.is_late or is_early

    def _repeat(self, flight: _Flight, response: Response | None) -> None:
        what = f"{response.status} {response.code()}" if response else "no answer"
        self.result.repeated[what] += 1
        if flight.attempts >= self._attempts_max:
            raise ReplayFailed(
                f"the flow's order {flight.step.order_id}: {what}, {flight.attempts} times"
            )
        self.result.retried += 1
        flight.retry_at = time.monotonic() + RETRY_SECONDS
        self._again.append(flight)
