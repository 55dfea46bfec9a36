"""The only place that makes Redis clients, and the names of our keys.

Redis is transport and cache: losing all of it at any moment costs latency, nothing else.
"""

import time
from typing import ClassVar, Final

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

PREFIX = "takas"
FEED_CHANNEL = f"{PREFIX}:feed"
# redis-py 8 defaults to 5 s and silent retries: both are said here instead.
SOCKET_TIMEOUT_S = 2.0
BLOCK_MS_MAX = 1_000  # blocking reads stay well below the socket timeout
PAUSE_AFTER_FAILURE_S = 1.0
SILENT: Final = (redis.ConnectionError, redis.TimeoutError, OSError)


def commands_stream(partition_id: int) -> str:
    return f"{PREFIX}:commands:{partition_id}"


def book_key(symbol: str) -> str:
    return f"{PREFIX}:book:{symbol}"


def top_key(symbol: str) -> str:
    return f"{PREFIX}:top:{symbol}"


def state_key(symbol: str) -> str:
    return f"{PREFIX}:state:{symbol}"


def matching_key(partition_id: int) -> str:
    return f"{PREFIX}:matching:{partition_id}"


def settle_flag_key(partition_id: int) -> str:
    return f"{PREFIX}:settle:{partition_id}"


def redis_client() -> redis.Redis:
    """A client for streams, keys and publishing; fails fast, never retries by itself."""
    return redis.Redis.from_url(
        settings.STREAMS_URL,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def async_redis_client() -> redis.asyncio.Redis:
    """The same for asyncio code; subscribers wait without a read timeout."""
    return redis.asyncio.Redis.from_url(
        settings.STREAMS_URL,
        socket_timeout=None,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=15,
        protocol=2,
    )


class Pause:
    """After a failure Redis is left alone for a while: one timeout, not one for each request.

    Each use has its own. Where Redis gave no answer at all, all of them know: else an order would
    wait for one timeout at each station.
    """

    _silent_until_s: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self._until_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether Redis failed a moment ago."""
        return time.monotonic() < max(self._until_s, Pause._silent_until_s)

    def begin(self, error: Exception) -> None:
        """Redis has failed."""
        self._until_s = time.monotonic() + PAUSE_AFTER_FAILURE_S
        if isinstance(error, SILENT):
            Pause._silent_until_s = self._until_s

    def end(self) -> None:
        """Ask Redis again (between tests)."""
        self._until_s = Pause._silent_until_s = 0.0
