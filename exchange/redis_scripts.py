"""Lua scripts in one round trip, for limits that all processes share.

Redis may be away: then a script has no answer, and its caller relies on this process alone.
"""

import hashlib
import threading
import time
from typing import Any, Final

import redis
import structlog

from exchange.redis import redis_client

# After a failure this process relies on itself for a while, instead of a timeout a request.
PAUSE_AFTER_FAILURE_S: Final = 1.0

log = structlog.get_logger(__name__)
_threads: Final = threading.local()


class Script:
    """One script, known to Redis by its hash."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._paused_until = 0.0

    def ask(self, keys: tuple[str, ...], *args: str | int) -> Any:
        """The script's answer, or None when Redis has none."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            return self._run((len(keys), *keys, *args))
        except (redis.RedisError, OSError) as error:
            self._paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            log.warning("limits.redis_unavailable", error=str(error))
            return None

    def _run(self, args: tuple[str | int, ...]) -> Any:
        connection = _connection()
        try:
            try:
                return _call(connection, "EVALSHA", self._sha, *args)
            except redis.exceptions.NoScriptError:  # Redis is new, or was emptied
                return _call(connection, "EVAL", self._text, *args)
        except Exception:  # whatever is still on its way must not answer the next request
            connection.disconnect()
            raise


def _call(connection: Any, *args: str | int) -> Any:
    connection.send_command(*args)
    return connection.read_response()


def _connection() -> Any:
    """A connection of this thread's own: the client's pool and retries cost as much again."""
    connection = getattr(_threads, "connection", None)
    if connection is None:
        connection = redis_client().connection_pool.make_connection()
        _threads.connection = connection
    return connection
