"""Send a flow straight into intake batches: the path of an order without HTTP, in strict order.

Each batch is one transaction, as in the intake thread, only larger. It waits for locked balances
instead of letting later orders pass. The number of commands accepted ahead of the engine is
bounded.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from msgspec.structs import replace

from config.demo.flow import FlowCommand
from exchange.domain.codes import Code
from exchange.domain.enums import OrderType
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from orders.intake.batch import CommandPublisher, commit_batch
from orders.intake.jobs import Accepted, Job, PlaceJob, cancel_job
from orders.validation.orders import draft_build
from orders.validation.requests import OrderRequest
from risk.pretrade.drafts import OrderDraft
from risk.pretrade.rules import best_opposite_ticks, slipped_ticks
from risk.pretrade.selectors import top_of_book
from tests.lab.replay.api_route import EXPECTED_CODES, LATE_BOOK_CODES, ReplayFailed, SendResult
from tests.lab.replay.outcome import drained_wait
from tests.lab.replay.progress import Pace, Progress
from tests.lab.replay.terms import AccountTurns, ReplayTerms

BATCH_MAX: Final = 256
BACKLOG_MAX: Final = 4_000  # commands accepted and not yet sequenced
BACKLOG_POLL_SECONDS: Final = 0.02
LATE_BOOK_TRIES_MAX: Final = 50
LATE_BOOK_SECONDS: Final = 0.1

_LAST_SEQUENCE = "SELECT last_seq FROM orders_enginepartition WHERE id = %s"


@dataclass(frozen=True, slots=True)
class IntakeTerms:
    """What intake needs besides the flow: accounts in turn order, symbol rules, fees in ppm."""

    account_ids: Sequence[int]
    rules: SymbolRules
    maker_fee_ppm: int
    taker_fee_ppm: int


class IntakeRoute:
    """One flow on its way through intake."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        publisher: CommandPublisher,
        terms: ReplayTerms,
        intake_terms: IntakeTerms,
        is_cancelled: Callable[[int], bool],
        *,
        next_id: Callable[[], int],
    ) -> None:
        assert len(intake_terms.account_ids) == 2 * terms.accounts_per_side
        self._connection = connection
        self._publisher = publisher
        self._terms = terms
        self._intake_terms = intake_terms
        self._is_cancelled = is_cancelled
        self._next_id = next_id
        self._turns = AccountTurns(terms.accounts_per_side)
        self._batch: list[tuple[int, Job]] = []  # with the flow's order id
        self._to_cancel: dict[int, tuple[int, int]] = {}  # exchange's id, account
        self._sequence_first = self._sequence()
        self._accepted = 0
        self.result = SendResult()

    def send(self, commands: Iterable[FlowCommand], pace: Pace, progress: Progress) -> SendResult:
        """Send a flow in order; return when every command is committed. Raises ReplayFailed."""
        for command in commands:
            due = pace.wait_seconds(command.time_ms)
            if due > 0:
                self._flush()
                time.sleep(due)
            self._take(command)
            self.result.sent += 1
            progress.add()
            if len(self._batch) >= BATCH_MAX:
                self._flush()
        self._flush()
        self.result.seconds = progress.seconds
        return self.result

    def _take(self, command: FlowCommand) -> None:
        if command.action == "cancel":
            self._take_cancel(command.order_id)
            return
        request = OrderRequest(**self._terms.order(command))
        try:
            draft = draft_build(request, self._intake_terms.rules)
        except DomainError as error:
            self._refused(command.order_id, error)
            return
        if draft.type is OrderType.MARKET:
            draft = self._bounded(draft)
        account_id = self._intake_terms.account_ids[self._turns.take(command.side)]
        job = PlaceJob(
            account_id=account_id,
            draft=draft,
            rules=self._intake_terms.rules,
            maker_fee_ppm=self._intake_terms.maker_fee_ppm,
            taker_fee_ppm=self._intake_terms.taker_fee_ppm,
            fingerprint=f"{command.order_id:064x}",
        )
        self._batch.append((command.order_id, job))

    def _take_cancel(self, order_id: int) -> None:
        if order_id not in self._to_cancel:
            self._flush()  # the order may be in the open batch, and gets its id at the commit
        known = self._to_cancel.pop(order_id, None)
        if known is None:
            self.result.refused["order.not_placed"] += 1
            return
        job = cancel_job(known[0], account_id=known[1])
        self._batch.append((order_id, job))

    def _bounded(self, draft: OrderDraft) -> OrderDraft:
        """Set a market order's protective price, from the book after all earlier commands."""
        self._flush()
        rules = self._intake_terms.rules
        drained_wait(
            self._connection,
            symbol_id=rules.units.symbol_id,
            partition_id=rules.partition_id,
            write=lambda _: None,
        )
        for attempt in range(LATE_BOOK_TRIES_MAX):
            try:
                best_ticks = best_opposite_ticks(draft.side, top_of_book(rules.units.code))
                if not best_ticks:
                    raise DomainError(Code.ORDER_NO_LIQUIDITY, field="side")
                return replace(draft, price_ticks=slipped_ticks(draft.side, best_ticks, rules))
            except DomainError as error:
                if error.code not in LATE_BOOK_CODES or attempt == LATE_BOOK_TRIES_MAX - 1:
                    raise ReplayFailed(f"market order {draft.client_order_id}: {error}") from error
                time.sleep(LATE_BOOK_SECONDS)
        raise AssertionError("unreachable")

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._room_wait()
        started = time.perf_counter()
        deferred = commit_batch(
            self._connection,
            [job for _, job in batch],
            self._publisher,
            next_id=self._next_id,
            wait_for_locks=True,
        )
        assert not deferred, "ids are unique and locks are waited for"
        self.result.latencies.add(time.perf_counter() - started)
        for order_id, job in batch:
            self._settled(order_id, job)

    def _settled(self, order_id: int, job: Job) -> None:
        outcome = job.outcome
        if isinstance(outcome, DomainError):
            self._refused(order_id, outcome)
            return
        assert isinstance(outcome, Accepted), outcome
        self._accepted += 1
        self.result.accepted += 1
        if isinstance(job, PlaceJob) and self._is_cancelled(order_id):
            self._to_cancel[order_id] = (outcome.command_id, job.account_id)

    def _refused(self, order_id: int, error: DomainError) -> None:
        if error.code not in EXPECTED_CODES:
            raise ReplayFailed(f"the flow's order {order_id}: {error}") from error
        self.result.refused[str(error.code)] += 1

    def _room_wait(self) -> None:
        """Wait until the engine is at most BACKLOG_MAX commands behind."""
        while self._accepted - (self._sequence() - self._sequence_first) > BACKLOG_MAX:
            time.sleep(BACKLOG_POLL_SECONDS)

    def _sequence(self) -> int:
        row = self._connection.execute(
            _LAST_SEQUENCE, (self._intake_terms.rules.partition_id,)
        ).fetchone()
        assert row is not None
        return int(row[0])
