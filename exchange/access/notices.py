"""Notices that a login has ended, to every process that holds its sockets.

A notice goes to a group of the channel layer: of a user, of a user's sessions, of one session, or
of a key.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

T = TypeVar("T")

REDIS_CALL_S: Final = 2.0
AWAY: Final = (RedisError, OSError, TimeoutError)


def user_group(user_id: int) -> str:
    """Return the group of all sockets of a user."""
    return f"user.{user_id}"


def sessions_group(user_id: int) -> str:
    """Return the group of the sockets that any session of the user opened."""
    return f"sessions.{user_id}"


def session_group(session_key: str) -> str:
    """Return the group of one session's sockets; a hash stands for its secret key."""
    return f"session.{hashlib.sha256(session_key.encode()).hexdigest()[:40]}"


def key_group(key_number: int) -> str:
    """Return the group of the sockets that signed in with this API key."""
    return f"key.{key_number}"


def login_ended(*groups: str) -> bool:
    """Tell every process that these logins have ended; call it after the commit.

    Return False when Redis could not be reached: the sockets then end within RECHECK_S.
    """
    try:
        async_to_sync(_send)(groups)
    except AWAY as error:
        log.warning("login_ended.not_told", groups=len(groups), error=repr(error))
        return False
    return True


async def in_time(call: Awaitable[T]) -> T:
    """Await a call to Redis; raises TimeoutError after REDIS_CALL_S."""
    # `asyncio.wait_for` of Python 3.11 may lose a cancellation.
    async with asyncio.timeout(REDIS_CALL_S):
        return await call


async def _send(groups: Iterable[str]) -> None:
    layer = get_channel_layer()
    assert layer is not None
    for group in groups:
        message = {"type": "login.ended", "group": group}
        await in_time(layer.group_send(group, message))
