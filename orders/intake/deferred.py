"""Refusals that settlement may prove wrong: they are given only when settlement has caught up.

A client learns of a fill, an end or an amend when the matching worker has committed it. Settlement
frees the money a moment later. A request between the two finds money still reserved, an order still
counted, an amend still pending. Such a request is decided again once settlement has come to the
sequence where the engine stood. Only refused requests pay for this, with one statement.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from orders.intake.decisions import BatchReads, Decisions
from orders.intake.jobs import AmendJob, Job, ListJob, PlaceJob
from wallets.fragments import live_orders_of

# Refusals decided by tables that settlement writes.
EARLY: Final = frozenset(
    {Code.FUNDS_INSUFFICIENT, Code.RISK_OPEN_ORDERS_MAX, Code.ORDER_AMEND_PENDING}
)
SETTLING_MAX: Final = 64  # jobs of one process that wait for settlement
SETTLING_S: Final = 3.0  # the longest that such a job waits
SETTLING_POLL_S: Final = 0.004
# Two workers' clocks may differ by this much. A larger slack only makes more requests wait.
CLOCK_SLACK_S: Final = 10

# The engine's sequence, for each account with an order that changed after the last settled batch.
# Such an order still has its reservation, and its row has the time of the engine's batch.
UNSETTLED: Final = f"""
SELECT asked.account_id, engine.id, engine.last_seq
FROM orders_enginepartition AS engine
LEFT JOIN orders_settlementcursor AS settled ON settled.partition_id = engine.id
CROSS JOIN LATERAL (
    SELECT created_at - make_interval(secs => %s) AS since FROM orders_enginejournal AS journal
    WHERE journal.partition_id = engine.id AND journal.last_seq > coalesce(settled.last_seq, 0)
    ORDER BY journal.last_seq LIMIT 1) AS unbooked
CROSS JOIN unnest(%s::bigint[]) AS asked(account_id)
CROSS JOIN LATERAL (
    SELECT FROM orders_order AS told
    WHERE told.id = ANY(ARRAY({live_orders_of("asked.account_id")})::bigint[])
      AND told.engine_seq IS NOT NULL AND told.updated_at >= unbooked.since LIMIT 1) AS changed
"""  # noqa: S608 - a column of ours
SETTLED: Final = "SELECT partition_id, last_seq FROM orders_settlementcursor"

Connection = psycopg.Connection[Any]


def early_refusals_defer(connection: Connection, decisions: Decisions, known: BatchReads) -> None:
    """Defer jobs whose refusal settlement may prove wrong, at their first such refusal.

    Runs in the batch's transaction, after its reads: a balance that the batch locked includes all
    that was settled before this function reads the cursor.
    """
    early = [
        (job, refusal.code)
        for job, refusal in decisions.outcomes
        if isinstance(refusal, DomainError) and refusal.code in EARLY and job.settled_at is None
    ]
    if not early:
        return
    unsettled = _unsettled(connection, {account_of(job) for job, _ in early})
    deferred = []
    for job, code in early:
        job.settled_at = unsettled.get(account_of(job), {})
        if job.settled_at or not _is_locked(job, code, known):
            deferred.append(job)
    decisions.outcomes = [pair for pair in decisions.outcomes if pair[0] not in deferred]
    decisions.deferred += deferred


def account_of(job: Job) -> int:
    """Return the account whose funds or orders the job's refusal is about."""
    assert isinstance(job, PlaceJob | ListJob | AmendJob)
    return job.account_id


def _unsettled(connection: Connection, account_ids: set[int]) -> dict[int, dict[int, int]]:
    """Return by account id and partition id the sequence that must be settled first."""
    found: dict[int, dict[int, int]] = {}
    rows = connection.execute(UNSETTLED, (CLOCK_SLACK_S, sorted(account_ids)))
    for account_id, partition_id, sequence in rows:
        found.setdefault(account_id, {})[partition_id] = sequence
    return found


def _is_locked(job: Job, code: Code, known: BatchReads) -> bool:
    """Whether the row that decided the refusal is locked, so that settlement cannot change it."""
    if code is Code.FUNDS_INSUFFICIENT:
        first = job.places[0] if isinstance(job, ListJob) else job
        assert isinstance(first, PlaceJob | AmendJob)
        return (first.account_id, first.reserved_asset_id) in known.available
    return code is Code.ORDER_AMEND_PENDING


class Settling:
    """One process' jobs that wait for settlement, bounded in number and in time."""

    def __init__(self) -> None:
        self._jobs: list[tuple[float, Job]] = []
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return any(one is job for _, one in self._jobs)

    def take(self, job: Job) -> bool:
        """Keep the job if there is room; return whether there was."""
        if len(self._jobs) >= SETTLING_MAX:
            return False
        self._jobs.append((time.monotonic() + SETTLING_S, job))
        return True

    def give_up_all(self) -> list[Job]:
        """Remove and return all jobs."""
        jobs = [job for _, job in self._jobs]
        self._jobs.clear()
        return jobs

    def look(self, connection: Connection) -> tuple[list[Job], list[Job]]:
        """Remove and return the jobs that settlement has caught up with, and the jobs out of time.

        Reads the cursor once in SETTLING_POLL_S at most; between two reads both lists are empty.
        """
        now = time.monotonic()
        if not self._jobs or now < self._look_at:
            return [], []
        self._look_at = now + SETTLING_POLL_S
        settled: dict[int, int] = dict(connection.execute(SETTLED).fetchall())
        ready, late, kept = [], [], []
        for until, job in self._jobs:
            if _is_settled(job, settled):
                job.settled_at = {}
                ready.append(job)
            elif until < now:
                late.append(job)
            else:
                kept.append((until, job))
        self._jobs = kept
        return ready, late


def _is_settled(job: Job, settled: Mapping[int, int]) -> bool:
    """Whether settlement has reached every sequence that the job waits for."""
    awaited = job.settled_at or {}
    return all(settled.get(one, 0) >= sequence for one, sequence in awaited.items())
