"""Questions of an event loop that one thread answers together, by one call.

As many statements as there are moments, not as there are requests: of 5,000 users whose keys are
not in memory, those of one moment cost one statement and one thread.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

import structlog
from django.db import connections
from prometheus_client import Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import in_time, on_event_loop, results_give

Q = TypeVar("Q")
A = TypeVar("A")

AT_ONCE_MAX: Final = 256
WAITING_MAX: Final = 1_024
ANSWER_S: Final = 8.0  # the thread may hang

log = structlog.get_logger(__name__)


def gathered(
    queue: "SimpleQueue[tuple[Q, asyncio.Future[A]]]", at_once_max: int
) -> Iterator[list[tuple[Q, asyncio.Future[A]]]]:
    """Yield the questions that wait together, for ever; each with the future that waits for it."""
    while True:
        batch = [queue.get()]
        with suppress(Empty):
            while len(batch) < at_once_max:
                batch.append(queue.get_nowait())
        waiting = [pair for pair in batch if not pair[1].done()]  # some gave up meanwhile
        if waiting:
            yield waiting


class Gatherer(Generic[Q, A]):
    """Asks `answer_all` for all questions that wait; an answer may be an exception, to be raised.

    The first question starts the thread, in the process that serves and not in its parent.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Q]], Sequence[A | Exception]],
        *,
        name: str,
        waiting: Gauge,
    ) -> None:
        self._answer_all = answer_all
        self._name = name
        self._waiting = waiting
        self._queue: SimpleQueue[tuple[Q, asyncio.Future[A | Exception]]] = SimpleQueue()
        self._process = 0  # of the thread, which does not survive a fork

    async def ask(self, question: Q) -> A:
        """Return the answer or raise it. Off an event loop the question is answered here, alone.

        Raises server.busy when too many questions wait, and without an answer after ANSWER_S.
        """
        if not on_event_loop():
            return _raised(self._answer_all([question])[0])
        if self._process != os.getpid():
            self._process = os.getpid()
            self._queue = SimpleQueue()
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        if self._queue.qsize() >= WAITING_MAX:
            raise DomainError(Code.SERVER_BUSY)
        future: asyncio.Future[A | Exception] = asyncio.get_running_loop().create_future()
        self._queue.put((question, future))
        with self._waiting.track_inprogress():
            try:
                return _raised(await in_time(future, ANSWER_S))
            except TimeoutError:
                raise DomainError(Code.SERVER_BUSY) from None

    def _run(self) -> None:
        for waiting in gathered(self._queue, AT_ONCE_MAX):
            answers = self._answers([question for question, _ in waiting])
            results_give(zip([future for _, future in waiting], answers, strict=True))

    def _answers(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        try:
            return self._answer_all(questions)
        except DomainError as refusal:
            return [refusal] * len(questions)
        except Exception as error:  # a bug costs these questions their answers, never the thread
            log.exception("gatherer.failed", thread=self._name, questions=len(questions))
            return [error] * len(questions)
        finally:
            connections.close_all()


def _raised(answer: A | Exception) -> A:
    if isinstance(answer, Exception):
        raise answer
    return answer
