"""The intake of one process: a thread that turns the requests of the moment into one commit.

It adds no delay: a lone request is committed at once, and while one batch commits the next batch
gathers. The queue is bounded, every waiting request has a deadline, and no request is accepted
before its commit. The first request starts the thread, so that the thread lives in the serving
process and not in the process that forked it.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
import structlog

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import on_event_loop
from exchange.infra.group_queue import GroupQueue
from exchange.infra.metrics import BATCH_SIZE, STAGE_SECONDS
from orders.intake.batch import CommandPublisher, CommitUnknown, commit_batch
from orders.intake.deferred import SETTLING_POLL_S, Settling
from orders.intake.jobs import (
    Accepted,
    AcceptedList,
    Job,
    ListJob,
    Outcome,
    Replayed,
    accepted,
    answer,
    outcomes_of,
    outcomes_on_loop,
    resolve,
)

QUEUE_MAX: Final = 2_048  # requests waiting in one process
QUEUE_JOBS_MAX: Final = 8_192  # and their jobs: a batch of orders is one request of up to 50 jobs
BATCH_MAX: Final = 128  # a batch takes whole requests until it has so many jobs
DEFERRALS_MAX: Final = 4  # then the order waits for its balance's lock
RETRIES_MAX: Final = 16  # deferrals of one job; then its answer is engine.busy
LOCK_WAIT_MS: Final = 500  # for one lock: one long transaction must not delay every batch
RETRY_PAUSE_S: Final = 0.001  # a balance is locked for a commit's time
DEADLINE_S: Final = 5.0  # a request waits so long in the queue
STOP_S: Final = 8.0  # the queued jobs have so long when the process ends

# Lost races: the same batch may succeed when it runs again.
_RACES: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

log = structlog.get_logger(__name__)
_batch_size = BATCH_SIZE.labels("accept")
_commit_seconds = STAGE_SECONDS.labels("accept")


class Intake:
    """A bounded queue of jobs and the one thread that commits them in arrival order."""

    def __init__(
        self,
        *,
        open_connection: Callable[[], psycopg.Connection[Any]],
        publisher: CommandPublisher,
        next_id: Callable[[], int],
        queue_max: int = QUEUE_MAX,
        jobs_max: int = QUEUE_JOBS_MAX,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self._open_connection = open_connection
        self._publisher = publisher
        self._next_id = next_id
        self._batch_max = batch_max
        self._queue: GroupQueue[Job] = GroupQueue(groups_max=queue_max, items_max=jobs_max)
        self._connection: psycopg.Connection[Any] | None = None
        self._deferred: list[Job] = []
        self.settling = Settling()
        self.is_stopping = False
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of jobs in the queue."""
        return self._queue.waiting

    def submit(self, job: Job) -> Accepted | Replayed:
        """Queue a job and wait until its outcome is durable.

        Raises the job's refusal; engine.busy when nothing was taken because too much is waiting,
        engine.unavailable when nothing was taken because the database is away, and
        engine.outcome_unknown when the answer did not come in time.
        """
        return _accepted_one(self.submit_all([job]))

    def submit_list(self, job: ListJob) -> AcceptedList:
        """Queue a list of orders and wait as `submit` does, with the same refusals."""
        return _accepted_list(self.submit_all([job]))

    def submit_all(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Queue all jobs before waiting for the first, so that they share a commit where they can.

        Returns each job's outcome or refusal; jobs do not depend on each other. Raises engine.busy
        when the queue has no room for all jobs: then no job was taken.
        """
        self._take(jobs)
        return outcomes_of(jobs)

    async def submitted(self, job: Job) -> Accepted | Replayed:
        """Do the same as `submit`, without blocking an event loop."""
        return _accepted_one(await self.submitted_all([job]))

    async def submitted_list(self, job: ListJob) -> AcceptedList:
        """Do the same as `submit_list`, without blocking an event loop."""
        return _accepted_list(await self.submitted_all([job]))

    async def submitted_all(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do the same as `submit_all`, without blocking an event loop."""
        if not on_event_loop():
            return self.submit_all(jobs)
        loop = asyncio.get_running_loop()
        for job in jobs:
            job.future = loop.create_future()
        _deadline_set(jobs)
        if self.is_stopping or not self._queue.put_in_turn(jobs, loop):
            raise DomainError(Code.ENGINE_BUSY)
        return await outcomes_on_loop(jobs)

    async def submitted_together(self, jobs: Sequence[Job]) -> list[int]:
        """Queue the jobs of one request, as `submit_all` does; return the ids of their commands.

        Raises the first refusal among them; the other jobs keep their outcomes. Without jobs the
        result is empty.
        """
        for outcome in await self.submitted_all(jobs) if jobs else ():
            accepted(outcome)
        return [job.command_id for job in jobs]

    def put(self, job: Job) -> None:
        """Queue a job even when the queue is full, and do not wait for its outcome."""
        _deadline_set([job])
        self._queue.put_anyway([job])

    def _take(self, jobs: Sequence[Job]) -> None:
        _deadline_set(jobs)
        if self.is_stopping or not self._queue.put(jobs):
            raise DomainError(Code.ENGINE_BUSY)

    def stop(self) -> None:
        """Refuse new jobs, commit the queued jobs, end the thread and its connection."""
        self.is_stopping = True
        self._queue.close()
        self._thread.join(STOP_S)
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        is_last = False
        while True:
            jobs, told_to_end = self._gather()
            is_last |= told_to_end  # the end is queued once; deferred jobs still run
            if jobs:
                try:
                    self._process(jobs)
                except Exception:  # a bug must cost one batch its answers, not later batches
                    log.exception("intake.batch_failed", jobs=len(jobs))
                    self._settle_unanswered(jobs)
            if is_last and not self._deferred and not len(self.settling):
                self._publisher.confirm()
                return

    def _gather(self) -> tuple[list[Job], bool]:
        """Return the next batch, and whether to end: deferred jobs first, then queued requests.

        Waits while there are none, but only SETTLING_POLL_S while jobs wait for settlement.
        """
        jobs, self._deferred = self._deferred + self._settled(), []
        pause = SETTLING_POLL_S if len(self.settling) else None
        if not jobs and self._queue.empty():
            self._publisher.confirm()
        room = self._batch_max - len(jobs)
        queued, is_last = self._queue.take(room, block=not jobs, timeout_s=pause)
        return jobs + queued, is_last

    def _settled(self) -> list[Job]:
        """Return the jobs that settlement has caught up with; refuse jobs that waited too long."""
        if not len(self.settling):
            return []
        try:
            ready, late = self.settling.look(self._connected())
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.error("intake.database_unavailable", error=str(error))
            self._fail(self.settling.give_up_all(), Code.ENGINE_UNAVAILABLE)
            return []
        for job in late:
            answer(job, DomainError(Code.ENGINE_SETTLING))
        return ready

    def _process(self, jobs: list[Job]) -> None:
        live = [job for job in jobs if not job.is_expired()]
        for job in jobs:
            if job.is_expired():
                answer(job, DomainError(Code.ENGINE_BUSY))
        patient = [job for job in live if job.deferrals >= DEFERRALS_MAX]
        hasty = [job for job in live if job.deferrals < DEFERRALS_MAX]
        if patient:  # in a batch of their own, so that no other job waits for the lock
            self._commit(patient, wait_for_locks=True)
        if hasty:
            self._commit(hasty, wait_for_locks=False)
        if self._deferred and self._queue.empty():
            time.sleep(RETRY_PAUSE_S)

    def _commit(self, jobs: list[Job], *, wait_for_locks: bool) -> None:
        """Commit these jobs together; after an unexpected failure, one by one."""
        started = time.perf_counter()
        try:
            deferred = commit_batch(
                self._connected(),
                jobs,
                self._publisher,
                next_id=self._next_id,
                wait_for_locks=wait_for_locks,
                waits_for_settlement=True,
            )
        except CommitUnknown:
            self._fail(jobs, Code.ENGINE_OUTCOME_UNKNOWN)
        except psycopg.errors.LockNotAvailable as error:
            if len(jobs) > 1:  # one job needs a locked row: the other jobs must not wait
                self._commit_failed(jobs, error, wait_for_locks=wait_for_locks)
            else:
                self._defer(jobs)
        except _RACES:
            self._defer(jobs)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.error("intake.database_unavailable", jobs=len(jobs), error=str(error))
            self._fail(jobs, Code.ENGINE_UNAVAILABLE)
        except Exception as error:
            self._commit_failed(jobs, error, wait_for_locks=wait_for_locks)
        else:
            _batch_size.observe(len(jobs))
            _commit_seconds.observe(time.perf_counter() - started)
            decided = [job for job in jobs if job.outcome is not None]
            # The next two lines may answer jobs, and `decided` must not answer those again.
            self._settle_first([job for job in deferred if job.settled_at])
            self._defer([job for job in deferred if not job.settled_at])
            resolve(decided)

    def _commit_failed(self, jobs: list[Job], error: Exception, *, wait_for_locks: bool) -> None:
        """Run the jobs of a failed batch one by one, so that only the faulty job fails."""
        if len(jobs) > 1:
            log.error("intake.batch_split", jobs=len(jobs), error=repr(error))
            for job in jobs:
                self._commit([job], wait_for_locks=wait_for_locks)
            return
        log.error("intake.job_failed", error=repr(error), exc_info=error)
        answer(jobs[0], DomainError(Code.INTERNAL_ERROR))

    def _settle_first(self, jobs: Sequence[Job]) -> None:
        """Make jobs wait until settlement has caught up and their refusal is certain."""
        for job in jobs:
            if not self.settling.take(job):
                answer(job, DomainError(Code.ENGINE_SETTLING))

    def _defer(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.deferrals += 1
            if job.deferrals > RETRIES_MAX:
                answer(job, DomainError(Code.ENGINE_BUSY))
            else:
                self._deferred.append(job)

    def _fail(self, jobs: Sequence[Job], code: Code) -> None:
        """Refuse all jobs and close the connection, whose state is unknown."""
        for job in jobs:
            answer(job, DomainError(code))
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _settle_unanswered(self, jobs: Sequence[Job]) -> None:
        self._fail(
            [job for job in jobs if job.outcome is None and not self._is_kept(job)],
            Code.ENGINE_OUTCOME_UNKNOWN,
        )

    def _is_kept(self, job: Job) -> bool:
        """Whether the job will be run again."""
        return job in self._deferred or job in self.settling

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._open_connection()
            self._connection.execute(f"SET lock_timeout = {LOCK_WAIT_MS}")
        return self._connection


def _deadline_set(jobs: Sequence[Job]) -> None:
    expires_at = time.monotonic() + DEADLINE_S
    for job in jobs:
        job.expires_at = expires_at


def _accepted_one(outcomes: Sequence[Outcome]) -> Accepted | Replayed:
    (outcome,) = map(accepted, outcomes)
    assert not isinstance(outcome, AcceptedList)
    return outcome


def _accepted_list(outcomes: Sequence[Outcome]) -> AcceptedList:
    (outcome,) = map(accepted, outcomes)
    assert isinstance(outcome, AcceptedList)
    return outcome
