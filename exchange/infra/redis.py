"""Clients of Redis, which only this module makes, and the names of our keys.

Redis is transport and cache: losing all of it at any moment costs latency, nothing else.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.infra.event_loop import threads_only

PREFIX = "takas"
FEED_CHANNEL = f"{PREFIX}:feed"
# redis-py 8 defaults to 5 s and silent retries: both are set explicitly here.
SOCKET_TIMEOUT_S = 2.0
BLOCK_MS_MAX = 1_000  # blocking reads stay well below the socket timeout
PAUSE_AFTER_FAILURE_S = 1.0
PROBE_EVERY_S: Final = 1.0  # between two questions whether a silent Redis is back
SILENCE_S: Final = 10.0  # longer than a probe and the wait before it: connecting, one answer
# Errors of a Redis that gives no answer at all.
SILENT: Final = (redis.ConnectionError, redis.TimeoutError, OSError)


def commands_stream(partition_id: int) -> str:
    """Return the key of the stream of a partition's commands."""
    return f"{PREFIX}:commands:{partition_id}"


def book_key(symbol: str) -> str:
    """Return the key of a symbol's last snapshot."""
    return f"{PREFIX}:book:{symbol}"


def top_key(symbol: str) -> str:
    """Return the key of a symbol's top of book."""
    return f"{PREFIX}:top:{symbol}"


def state_key(symbol: str) -> str:
    """Return the key of a symbol's last frame of its market state."""
    return f"{PREFIX}:state:{symbol}"


def matching_key(partition_id: int) -> str:
    """Return the key of a partition's heartbeat."""
    return f"{PREFIX}:matching:{partition_id}"


def settle_flag_key(partition_id: int) -> str:
    """Return the key of a partition's settlement flag."""
    return f"{PREFIX}:settle:{partition_id}"


def redis_client() -> redis.Redis:
    """Return a client for streams, keys and publishing; it fails fast and never retries."""
    return redis.Redis.from_url(
        settings.STREAMS_URL,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def async_redis_client() -> redis.asyncio.Redis:
    """Return a client for asyncio, without a read timeout, as subscribers wait for messages."""
    return redis.asyncio.Redis.from_url(
        settings.STREAMS_URL,
        socket_timeout=None,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=15,
        protocol=2,
    )


class Silence:
    """The time in which Redis gives no answer at all, as this process knows it.

    A thread asks whether Redis is back, so that no order has to find out and wait for a timeout.
    The thread ends with the silence, or with the process.
    """

    def __init__(self) -> None:
        self.until_s = 0.0  # by time.monotonic
        self._changing = threading.Lock()
        self._prober: threading.Thread | None = None
        self._ended = threading.Event()

    def begin(self) -> None:
        """Begin the silence, or let it go on; its prober runs from now on."""
        with self._changing:
            self.until_s = time.monotonic() + SILENCE_S
            if self._prober is not None and self._prober.is_alive():  # it is not, after a fork
                return
            self._ended = threading.Event()
            self._prober = threading.Thread(
                target=self._probe, args=(self._ended,), name="redis-probe", daemon=True
            )
            self._prober.start()

    def end(self) -> None:
        """End the silence and its prober."""
        with self._changing:
            self._end()

    def _end(self) -> None:
        self.until_s = 0.0
        self._ended.set()
        self._prober = None

    def _probe(self, ended: threading.Event) -> None:
        """Ask Redis until it answers. Should this hang, the silence ends by itself in SILENCE_S."""
        while not ended.wait(PROBE_EVERY_S):
            is_back = _redis_answers()
            with self._changing:
                if ended.is_set():
                    return
                if is_back:
                    self._end()
                else:
                    self.until_s = time.monotonic() + SILENCE_S


class Pause:
    """A pause in calls to Redis after a failure, so that not every request waits for a timeout.

    Each use of Redis has a pause of its own. Where Redis gave no answer at all, every use pauses
    until Redis answers the prober: an order would wait for a timeout at each station otherwise.
    """

    _silence: ClassVar = Silence()

    def __init__(self) -> None:
        self._until_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether Redis failed a moment ago, so that it must not be called."""
        now = time.monotonic()
        return now < self._until_s or now < Pause._silence.until_s

    def begin(self, error: Exception) -> None:
        """Begin the pause after this failure."""
        if isinstance(error, SILENT):
            Pause._silence.begin()
        else:
            self._until_s = time.monotonic() + PAUSE_AFTER_FAILURE_S

    def end(self) -> None:
        """End the pause (between tests)."""
        self._until_s = 0.0
        Pause._silence.end()


class RedisAway(Exception):
    """Redis did not answer, or failed a moment ago and was not asked."""


class KeyReader:
    """Reads keys for requests: a client for each thread, and a pause after a failure.

    A few threads serve all requests of a process: with Redis down, timeouts would take all their
    time.
    """

    def __init__(self, open_client: Callable[[], redis.Redis] = redis_client) -> None:
        self._open_client = open_client
        self._clients = threading.local()
        self.pause: Final = Pause()

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None. Raises RedisAway.

        On an event loop it raises SynchronousOnlyOperation, or RedisAway during a pause.
        """
        if self.pause.is_on:
            raise RedisAway
        threads_only()
        client: redis.Redis | None = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = self._open_client()
        try:
            data: Any = client.get(key)
        except redis.RedisError as error:
            self.pause.begin(error)
            raise RedisAway from error
        return None if data is None else bytes(data)


def _redis_answers() -> bool:
    """Whether Redis answers in time, over a connection of its own."""
    with redis_client() as client:
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
