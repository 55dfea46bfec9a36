"""Lua scripts in Redis for limits that all processes share, many calls in one round trip.

A thread calls a script by itself. An event loop has one thread that calls it for all waiting
requests. While Redis is away a script has no answer, and its caller counts in this process alone.
"""

import asyncio
import hashlib
import os
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, Final

import redis
import structlog
from redis.exceptions import NoScriptError

from exchange.infra.event_loop import in_time, results_give, threads_only
from exchange.infra.gatherer import gathered
from exchange.infra.redis import Pause, redis_client

ASKED_AT_ONCE_MAX: Final = 256
WAITING_MAX: Final = 4_096  # questions of one event loop
# Longer than Redis may be silent (SOCKET_TIMEOUT_S), for waits without a deadline of their own:
# answers that trickle in, a name that does not resolve.
ANSWER_S: Final = 3.0

Question = tuple[tuple[str, ...], tuple[str | int, ...]]  # a script's keys and arguments
Call = tuple[str | int, ...]

log = structlog.get_logger(__name__)
_threads: Final = threading.local()


class Script:
    """A Lua script, which Redis knows by its hash."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._pause = Pause()  # meanwhile this process counts alone

    def ask(self, keys: tuple[str, ...], *args: str | int) -> Any:
        """Return the script's answer, or None when Redis has none. Not for an event loop."""
        threads_only()
        return self.ask_all([(keys, args)])[0]

    def ask_all(self, questions: Sequence[Question]) -> Sequence[Any]:
        """Return the answers of one round trip; each is None when Redis has none."""
        if self._pause.is_on:
            return [None] * len(questions)
        try:
            return self._run([(len(keys), *keys, *args) for keys, args in questions])
        except (redis.RedisError, OSError) as error:
            self.leave_alone(error)
            return [None] * len(questions)

    @property
    def is_left_alone(self) -> bool:
        """Whether Redis had no answer a moment ago."""
        return self._pause.is_on

    def leave_alone(self, error: Exception) -> None:
        """Begin a pause, as Redis had no answer."""
        self._pause.begin(error)
        log.warning("limits.redis_unavailable", error=str(error))

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        connection = _connection()
        try:
            answers = _call(connection, ("EVALSHA", self._sha), calls)
            # A new or emptied Redis does not know the script yet.
            missing = [at for at, got in enumerate(answers) if isinstance(got, NoScriptError)]
            if missing:
                again = _call(connection, ("EVAL", self._text), [calls[at] for at in missing])
                for at, answer in zip(missing, again, strict=True):
                    answers[at] = answer
        except Exception:  # late answers must not serve the next request
            connection.disconnect()
            raise
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


class Asker:
    """Calls a script for an event loop: all waiting requests in one round trip."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._queue: SimpleQueue[tuple[Question, asyncio.Future[Any]]] = SimpleQueue()
        self._process = 0  # of the thread, which does not survive a fork

    async def ask(self, question: Question) -> Any:
        """Return the script's answer, or None when Redis has none in time."""
        if self._script.is_left_alone or self._queue.qsize() >= WAITING_MAX:
            return None
        if self._process != os.getpid():
            self._process = os.getpid()
            self._queue = SimpleQueue()
            threading.Thread(target=self._run, name="limits", daemon=True).start()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put((question, future))
        try:
            return await in_time(future, ANSWER_S)
        except TimeoutError:
            if not self._script.is_left_alone:
                self._script.leave_alone(TimeoutError("no answer in time"))
            return None

    def _run(self) -> None:
        for waiting in gathered(self._queue, ASKED_AT_ONCE_MAX):
            self._answer(waiting)

    def _answer(self, waiting: "list[tuple[Question, asyncio.Future[Any]]]") -> None:
        try:
            answers = self._script.ask_all([question for question, _ in waiting])
        except Exception:  # a bug costs these requests their shared limit, never the thread
            log.exception("limits.script_failed")
            answers = [None] * len(waiting)
        results_give(zip([future for _, future in waiting], answers, strict=True))


def _call(connection: Any, command: tuple[str, str], calls: Sequence[Call]) -> list[Any]:
    """Send the command for each call; return the answers, errors of Redis among them."""
    connection.send_packed_command(connection.pack_commands([(*command, *call) for call in calls]))
    return [_answer(connection) for _ in calls]


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _connection() -> Any:
    """Return this thread's connection: the client's pool and retries would double the cost."""
    connection = getattr(_threads, "connection", None)
    if connection is None:
        connection = redis_client().connection_pool.make_connection()
        _threads.connection = connection
    return connection
