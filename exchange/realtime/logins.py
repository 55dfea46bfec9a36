"""The login of each private socket: the socket ends when its login ends.

Code that ends a login tells a group of the channel layer: a user's, a session's or a key's. Each
process joins the groups of its own sockets, with one queue for all groups. Redis may lose such a
message, and a login may end without one: so a socket's login is looked up in Postgres when its
groups are joined, and again every RECHECK_S.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import Error as DatabaseError
from prometheus_client import Counter

from exchange.access.notices import (
    AWAY,
    in_time,
    key_group,
    session_group,
    sessions_group,
    user_group,
)
from exchange.infra.event_loop import tasks_end
from exchange.realtime.login_state import login_states_read
from exchange.realtime.protocol import CloseCode
from exchange.realtime.send_queue import SendQueue, SocketLogin

log = structlog.get_logger(__name__)

RECHECK_S: Final = 10.0  # an end without a message is found within this
TICK_S: Final = 1.0  # an expired login ends its sockets within this
RETRY_S: Final = 1.0

ENDED: Final = Counter("takas_ws_logins_ended", "Sockets ended with their login", ["found_by"])


def groups_of(login: SocketLogin) -> tuple[str, ...]:
    """Return the groups whose messages end this login."""
    if login.session_key is None:
        return user_group(login.user_id), key_group(login.key_number)
    return (
        user_group(login.user_id),
        sessions_group(login.user_id),
        session_group(login.session_key),
    )


class Logins:
    """The private sockets of one process, by group. One event loop calls it, so it has no locks."""

    def __init__(self, *, recheck_s: float = RECHECK_S) -> None:
        self.recheck_s = recheck_s
        self.send_queues: set[SendQueue] = set()
        self.by_group: dict[str, set[SendQueue]] = {}
        self._changed: set[str] = set()  # groups to join or to leave
        self._unchecked: set[SendQueue] = set()
        self._wake = asyncio.Event()
        self._checked_at_s = self._swept_at_s = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether groups wait to be joined or left, or logins to be looked up."""
        return bool(self._changed or self._unchecked)

    def start(self) -> None:
        """Start the task that joins groups and looks logins up."""
        assert self._task is None
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the task."""
        task, self._task = self._task, None
        if task is not None:
            await tasks_end(task)

    def watch(self, send_queue: SendQueue) -> None:
        """End this socket, from now on, when its login ends."""
        assert send_queue.login is not None
        self.send_queues.add(send_queue)
        for group in groups_of(send_queue.login):
            self.by_group.setdefault(group, set()).add(send_queue)
            self._changed.add(group)
        self._unchecked.add(send_queue)
        self._wake.set()

    def drop(self, send_queue: SendQueue) -> None:
        """Forget a socket that is gone."""
        self.send_queues.discard(send_queue)
        self._unchecked.discard(send_queue)
        for group in groups_of(send_queue.login) if send_queue.login is not None else ():
            sockets = self.by_group.get(group, set())
            sockets.discard(send_queue)
            if not sockets:
                self.by_group.pop(group, None)
                self._changed.add(group)
        self._wake.set()

    def group_ended(self, group: str) -> None:
        """End all sockets of a group."""
        for send_queue in self.by_group.get(group, ()):
            _end(send_queue, "message")

    async def _run(self) -> None:
        """Listen to the groups; look logins up even while Redis is away."""
        layer = get_channel_layer()
        assert layer is not None
        while True:
            try:
                await self._listen(layer)
            except AWAY as error:
                log.warning("logins.redis_away", error=repr(error))
            with suppress(*AWAY):
                await in_time(layer.flush())
            await self._tick()
            await asyncio.sleep(RETRY_S)

    async def _listen(self, layer: Any) -> None:
        channel = await in_time(layer.new_channel())
        receiving = asyncio.create_task(self._receive(layer, channel))
        self._changed = set(self.by_group)
        self._unchecked = set(self.send_queues)  # messages may have been missed
        joined: set[str] = set()
        try:
            while not receiving.done():
                await self._groups_join(layer, channel, joined)
                await self._tick()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S / 2):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            await tasks_end(receiving)

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            message = await layer.receive(channel)
            self.group_ended(str(message.get("group")))

    async def _groups_join(self, layer: Any, channel: str, joined: set[str]) -> None:
        """Join the groups of new sockets, and leave the groups without a socket."""
        while self._changed:
            group = self._changed.pop()
            if group in self.by_group and group not in joined:
                await in_time(layer.group_add(group, channel))
                joined.add(group)
            elif group not in self.by_group and group in joined:
                joined.discard(group)
                await in_time(layer.group_discard(group, channel))

    async def _tick(self) -> None:
        """Look up new logins, or all of them every RECHECK_S, and end expired ones."""
        now_s = asyncio.get_running_loop().time()
        is_due = now_s - self._checked_at_s >= self.recheck_s
        if is_due:
            self._checked_at_s = now_s
        send_queues = set(self.send_queues) if is_due else self._unchecked
        self._unchecked = set()
        if send_queues:
            await self._check(send_queues)
        if now_s - self._swept_at_s >= TICK_S:
            self._swept_at_s = now_s
            self._sweep(datetime.now(UTC).timestamp())

    def _sweep(self, now_s: float) -> None:
        for send_queue in self.send_queues:
            if send_queue.expires_at_s is not None and send_queue.expires_at_s <= now_s:
                _end(send_queue, "expiry")

    async def _check(self, send_queues: set[SendQueue]) -> None:
        logins = {send_queue.login for send_queue in send_queues if send_queue.login is not None}
        try:
            states = await database_sync_to_async(login_states_read)(logins)
        except DatabaseError as error:  # without Postgres no private frame comes; look up again
            log.warning("logins.database_away", error=repr(error))
            self._unchecked |= send_queues
            return
        for send_queue in send_queues:
            if send_queue.login is None:
                continue
            if states.is_valid(send_queue.login):
                send_queue.expires_at_s = states.expires_at_s(send_queue.login)
            else:
                _end(send_queue, "check")


def _end(send_queue: SendQueue, found_by: str) -> None:
    if send_queue.close_code is None:
        ENDED.labels(found_by).inc()
        send_queue.close(CloseCode.SESSION_ENDED)


_running: WeakKeyDictionary[asyncio.AbstractEventLoop, Logins] = WeakKeyDictionary()


def logins_running() -> Logins:
    """Return the logins of this event loop's sockets; the first call starts their watch."""
    loop = asyncio.get_running_loop()
    if loop not in _running:
        _running[loop] = Logins()
        _running[loop].start()
    return _running[loop]


async def logins_stop() -> None:
    """End the watch of this event loop, if it has one."""
    logins = _running.pop(asyncio.get_running_loop(), None)
    if logins is not None:
        await logins.stop()
