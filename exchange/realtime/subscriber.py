"""One subscription to the feed per process, and the stored books and states for its hub."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from exchange.infra.event_loop import tasks_end
from exchange.infra.metrics import stage_timed
from exchange.infra.redis import FEED_CHANNEL, async_redis_client, book_key, state_key
from exchange.realtime.feed import FeedHub

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 5.0
SILENCE_S_MAX: Final = 15.0  # a connection to Redis without even a pong counts as dead
READ_S: Final = 1.0
REDIS_CALL_S: Final = 2.0
RECONNECT_S_MAX: Final = 2.0
RECONNECT_DOUBLINGS_MAX: Final = 6
RESYNC_S: Final = 0.2  # the worker rewrites a changed book within this


class FeedSubscriber:
    """Three tasks on one event loop: read the feed, heal stale books, send heartbeats."""

    def __init__(
        self, hub: FeedHub, redis_factory: Callable[[], Redis] = async_redis_client
    ) -> None:
        self._hub = hub
        self._redis_factory = redis_factory
        self._redis: Redis | None = None
        self._heard_at_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks."""
        assert not self._tasks
        loops = (self._subscribe_forever, self._resync_forever, self._heartbeat_forever)
        self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        """End the tasks and close the connection to Redis."""
        await tasks_end(*self._tasks)
        self._tasks = []
        await self._drop_redis()

    async def _subscribe_forever(self) -> None:
        attempt = 0
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("feed_disconnected", error=repr(error))
            attempt = 1 if self._hub.is_connected else min(attempt + 1, RECONNECT_DOUBLINGS_MAX)
            self._hub.disconnected()
            await self._drop_redis()
            # Full jitter: all processes lose Redis in the same moment.
            wait_s_max = min(RECONNECT_S_MAX, 0.1 * 2**attempt)
            await asyncio.sleep(random.uniform(0.02, wait_s_max))  # noqa: S311 - not a secret

    async def _listen(self) -> None:
        """Read the feed until the connection fails or stays silent for too long."""
        self._redis = self._redis_factory()
        async with self._redis.pubsub() as subscriber:
            await asyncio.wait_for(subscriber.subscribe(FEED_CHANNEL), REDIS_CALL_S)
            self._heard_at_s = pinged_at_s = time.monotonic()
            while True:
                message = await subscriber.get_message(timeout=READ_S)
                now_s = time.monotonic()
                if message is not None:
                    self._heard_at_s = now_s
                    self._take(message)
                if now_s - pinged_at_s > HEARTBEAT_S:
                    pinged_at_s = now_s
                    await asyncio.wait_for(subscriber.ping(), REDIS_CALL_S)
                if now_s - self._heard_at_s > SILENCE_S_MAX:
                    raise TimeoutError("the feed's connection is silent")

    def _take(self, message: dict[str, object]) -> None:
        if message["type"] == "subscribe":
            self._hub.connected()
        elif message["type"] == "message":
            data = message["data"]
            assert isinstance(data, bytes)
            with stage_timed("push"):
                self._hub.dispatch(data)

    async def _drop_redis(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    async def _resync_forever(self) -> None:
        """Fetch the stored books and states that the hub wants, every RESYNC_S until it has all."""
        hub = self._hub
        while True:
            await hub.resync.wait()
            hub.resync.clear()
            if not hub.is_connected:
                continue  # the hub's `connected` sets `resync` again
            await self._resync_once(hub.wanting(), hub.wanting_states())
            if hub.wanting() or hub.wanting_states():
                asyncio.get_running_loop().call_later(RESYNC_S, hub.resync.set)

    async def _resync_once(self, books: list[str], states: list[str]) -> None:
        client = self._redis
        keys = [*map(book_key, books), *map(state_key, states)]
        if client is None or not keys:
            return
        try:
            stored = await asyncio.wait_for(client.mget(keys), REDIS_CALL_S)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("feed_resync_failed", error=repr(error))
            return
        if client is not self._redis:  # reconnected meanwhile: these may be from before
            return
        frames = [frame.encode() if isinstance(frame, str) else frame for frame in stored]
        self._hub.load(zip(books, frames[: len(books)], strict=True))
        self._hub.load_states(zip(states, frames[len(books) :], strict=True))

    async def _heartbeat_forever(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._hub.heartbeat()
            self._hub.resync.set()  # also for truncated sides with few levels left


_subscribers: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[FeedHub, FeedSubscriber]] = (
    WeakKeyDictionary()
)


def hub_running() -> FeedHub:
    """Return the hub of this event loop; the first call subscribes it to the feed."""
    loop = asyncio.get_running_loop()
    if loop not in _subscribers:
        hub = FeedHub()
        subscriber = FeedSubscriber(hub)
        subscriber.start()
        _subscribers[loop] = hub, subscriber
    return _subscribers[loop][0]


async def hub_stop() -> None:
    """Stop the hub of this event loop, if it has one."""
    pair = _subscribers.pop(asyncio.get_running_loop(), None)
    if pair is not None:
        await pair[1].stop()
