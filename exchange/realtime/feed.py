"""One process's view of the feed: one Redis subscriber, a mirror per symbol, all its sockets.

A frame is serialized once by its publisher, decoded to text once here and put into the outbox of
every socket that wants it. Losing Redis makes mirrors stale and says so to the clients; sockets
stay open. Nothing here reads money.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from exchange.realtime.mirror import BookMirror, Outcome
from exchange.realtime.outbox import Outbox
from exchange.realtime.protocol import CloseCode, answer
from exchange.redis import FEED_CHANNEL, async_redis_client, book_key

log = structlog.get_logger(__name__)

SOCKETS_MAX: Final = 5_000  # a process
HEARTBEAT_S: Final = 5.0
SILENCE_S_MAX: Final = 15.0  # without even a pong: the connection to Redis is taken for dead
READ_S: Final = 1.0
REDIS_CALL_S: Final = 2.0
RECONNECT_S_MAX: Final = 2.0
RESYNC_S: Final = 0.2  # the worker rewrites a changed book within this
OLDER_ACCEPTED_S: Final = 12.0  # the worker rewrites every book in 5 s: past this, history is gone

SOCKETS = Gauge("takas_ws_sockets", "Open WebSocket connections of this process")
FRAMES = Counter("takas_ws_frames", "Frames put into outboxes", ["kind"])
CLOSED = Counter("takas_ws_closed", "Connections the server ended", ["code"])
RESYNCS = Counter("takas_feed_resyncs", "Books rebuilt from a snapshot after a gap", ["symbol"])
CONNECTED = Gauge("takas_feed_connected", "1 while this process is subscribed to the feed")
BAD_FRAMES = Counter("takas_feed_bad_frames", "Feed messages that could not be read")

_batch_decode = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class _AccountFrame(msgspec.Struct):
    """All the hub looks at in a private frame: which of the two private channels it is."""

    channel: str


class _Control(msgspec.Struct):
    """A message to the hubs about a user's sockets; never sent to a client."""

    user_id: int
    session_key: str | None = None


_account_decode = msgspec.json.Decoder(_AccountFrame).decode
_control_decode = msgspec.json.Decoder(_Control).decode
CONTROL_TOPIC: Final = "control:close"


class FeedHub:
    """All sockets of one process. Everything happens on one event loop: no locks."""

    def __init__(self, redis_factory: Callable[[], Redis] = async_redis_client) -> None:
        self._redis_factory = redis_factory
        self._redis: Redis | None = None
        self._outboxes: set[Outbox] = set()
        self._topics: dict[str, set[Outbox]] = {}
        self._waiting: dict[str, set[Outbox]] = {}  # topic -> sockets owed a snapshot
        self._mirrors: dict[str, BookMirror] = {}
        self._stale_since: dict[str, float] = {}
        self._resync = asyncio.Event()
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.is_connected = False

    # --- life -------------------------------------------------------------------------------

    def start(self) -> None:
        if not self._tasks:
            loops = (self._subscribe_forever, self._resync_forever, self._heartbeat_forever)
            self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._drop_redis()

    # --- sockets ----------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        return len(self._outboxes) >= SOCKETS_MAX

    def join(self, outbox: Outbox) -> None:
        self._outboxes.add(outbox)
        SOCKETS.set(len(self._outboxes))

    def leave(self, outbox: Outbox) -> None:
        for topic in list(outbox.topics):
            self.unfollow(outbox, topic)
        self._outboxes.discard(outbox)
        SOCKETS.set(len(self._outboxes))
        if outbox.close_code is not None:
            CLOSED.labels(outbox.close_code.name.lower()).inc()

    def follow(self, outbox: Outbox, topic: str) -> None:
        """Send `topic` to this socket; a book begins with a snapshot, at once or when there is one.

        No await between the snapshot and joining the followers: nothing can fall between (W1).
        """
        outbox.topics.add(topic)
        symbol = _depth_symbol(topic)
        if symbol is None:
            self._topics.setdefault(topic, set()).add(outbox)
            return
        mirror = self._mirror(symbol)
        if mirror.is_live:
            outbox.put(mirror.snapshot().decode())
            self._topics.setdefault(topic, set()).add(outbox)
        else:
            self._waiting.setdefault(topic, set()).add(outbox)
            self._resync.set()

    def unfollow(self, outbox: Outbox, topic: str) -> None:
        outbox.topics.discard(topic)
        for followers in (self._topics, self._waiting):
            if topic in followers:
                followers[topic].discard(outbox)
                if not followers[topic]:
                    del followers[topic]

    def users(self) -> set[int]:
        return {box.user_id for box in self._outboxes if box.user_id is not None}

    def close_user(self, user_id: int, session_key: str | None = None) -> None:
        """End a user's sockets: all of them, or those of one session."""
        for outbox in self._outboxes:
            if outbox.user_id == user_id and session_key in (None, outbox.session_key):
                outbox.close(CloseCode.SESSION_ENDED)

    # --- frames -----------------------------------------------------------------------------

    def dispatch(self, message: bytes) -> None:
        """Take one feed message: a list of topic and frame. What cannot be read is skipped."""
        try:
            batch = _batch_decode(message)
        except msgspec.DecodeError:
            BAD_FRAMES.inc()
            return
        for topic, frame in batch:
            try:
                self._dispatch_one(topic, frame)
            except (msgspec.DecodeError, UnicodeDecodeError):
                BAD_FRAMES.inc()
                log.warning("feed_frame_unreadable", topic=topic)

    def _dispatch_one(self, topic: str, frame: bytes) -> None:
        if topic == CONTROL_TOPIC:
            control = _control_decode(frame)
            self.close_user(control.user_id, control.session_key)
            return
        symbol = _depth_symbol(topic)
        if symbol is not None and not self._mirror_apply(symbol, frame):
            return
        followers = self._topics.get(topic)
        if not followers:
            return
        if topic.startswith("account:"):
            channel = _account_decode(frame).channel
            _send([box for box in followers if channel in box.private], frame, "private")
        else:
            _send(followers, frame, "public")

    def _mirror(self, symbol: str) -> BookMirror:
        mirror = self._mirrors.get(symbol)
        if mirror is None:
            mirror = self._mirrors[symbol] = BookMirror(symbol)
            self._stale_since[symbol] = time.monotonic()
        return mirror

    def _mirror_apply(self, symbol: str, frame: bytes) -> bool:
        """Keep the mirror; True when the sockets may have this delta."""
        outcome = self._mirror(symbol).apply(frame)
        if outcome is Outcome.GAP:
            log.warning("feed_gap", symbol=symbol)
            self._stale(symbol)
        return outcome is Outcome.APPLIED

    def _stale(self, symbol: str) -> None:
        """Move the book's followers to those who wait for a snapshot."""
        topic = f"{symbol}@depth"
        self._stale_since[symbol] = time.monotonic()
        self._waiting.setdefault(topic, set()).update(self._topics.pop(topic, set()))
        self._resync.set()

    # --- Redis ------------------------------------------------------------------------------

    async def _subscribe_forever(self) -> None:
        attempt = 0
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("feed_disconnected", error=repr(error))
            attempt = 0 if self.is_connected else attempt + 1
            self._disconnected()
            await self._drop_redis()
            # Full jitter: all processes lose Redis in the same moment.
            await asyncio.sleep(random.uniform(0.02, min(RECONNECT_S_MAX, 0.1 * 2**attempt)))  # noqa: S311

    async def _listen(self) -> None:
        """Read the feed until the connection fails or stays silent for too long."""
        self._redis = self._redis_factory()
        async with self._redis.pubsub() as subscriber:
            await asyncio.wait_for(subscriber.subscribe(FEED_CHANNEL), REDIS_CALL_S)
            self._heard_at = pinged_at = time.monotonic()
            while True:
                message = await subscriber.get_message(timeout=READ_S)
                now = time.monotonic()
                if message is not None:
                    self._heard_at = now
                    self._take(message)
                if now - pinged_at > HEARTBEAT_S:
                    pinged_at = now
                    await asyncio.wait_for(subscriber.ping(), REDIS_CALL_S)
                if now - self._heard_at > SILENCE_S_MAX:
                    raise TimeoutError("the feed's connection is silent")

    def _take(self, message: dict[str, object]) -> None:
        if message["type"] == "subscribe":
            self._connected()
        elif message["type"] == "message":
            data = message["data"]
            assert isinstance(data, bytes)
            self.dispatch(data)

    def _connected(self) -> None:
        """Subscribed (again): what was published meanwhile is lost, so no mirror is trusted."""
        self.is_connected = True
        CONNECTED.set(1)
        for symbol, mirror in self._mirrors.items():
            mirror.doubt()
            self._stale(symbol)
        self._resync.set()
        log.info("feed_connected")

    def _disconnected(self) -> None:
        if self.is_connected:
            self.is_connected = False
            CONNECTED.set(0)
            self._heartbeat()

    async def _drop_redis(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    async def _resync_forever(self) -> None:
        """Give stale mirrors the stored snapshot; asked again shortly while it does not fit yet."""
        while True:
            await self._resync.wait()
            self._resync.clear()
            wanting = [name for name, mirror in self._mirrors.items() if mirror.wants_snapshot]
            client = self._redis
            if client is None or not self.is_connected or not wanting:
                continue  # `_connected` wakes us
            try:
                keys = [book_key(symbol) for symbol in wanting]
                stored = await asyncio.wait_for(client.mget(keys), REDIS_CALL_S)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("feed_resync_failed", error=repr(error))
            else:
                self._load(zip(wanting, stored, strict=True))
            if any(mirror.wants_snapshot for mirror in self._mirrors.values()):
                asyncio.get_running_loop().call_later(RESYNC_S, self._resync.set)

    def _load(self, stored: Iterable[tuple[str, bytes | None]]) -> None:
        for symbol, frame in stored:
            mirror = self._mirrors[symbol]
            if frame is None or not mirror.wants_snapshot:
                continue
            was_live = mirror.is_live
            stale_s = time.monotonic() - self._stale_since[symbol]
            try:
                loaded = mirror.load(frame, accept_older=stale_s > OLDER_ACCEPTED_S)
            except msgspec.DecodeError:
                BAD_FRAMES.inc()
                log.warning("feed_book_unreadable", symbol=symbol)
                continue
            if loaded and not was_live:
                self._resynced(symbol, mirror)

    def _resynced(self, symbol: str, mirror: BookMirror) -> None:
        topic = f"{symbol}@depth"
        RESYNCS.labels(symbol).inc()
        waiting = self._waiting.pop(topic, set())
        if waiting:
            _send(waiting, mirror.snapshot(), "snapshot")
            self._topics.setdefault(topic, set()).update(waiting)

    # --- heartbeat --------------------------------------------------------------------------

    async def _heartbeat_forever(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            now_s = time.time()
            for outbox in self._outboxes:
                if outbox.expires_at_s is not None and outbox.expires_at_s <= now_s:
                    outbox.close(CloseCode.SESSION_ENDED)
            self._heartbeat()
            self._resync.set()  # also refreshes truncated books that were eaten down

    def _heartbeat(self) -> None:
        """Tell every socket that we live, and whether the feed behind us does."""
        feed = "live" if self.is_connected else "stale"
        frame = answer("heartbeat", time=_now(), feed=feed)
        for outbox in self._outboxes:
            outbox.put(frame)


def _send(outboxes: Iterable[Outbox], frame: bytes, kind: str) -> None:
    text = frame.decode()
    count = 0
    for outbox in outboxes:
        outbox.put(text)
        count += 1
    FRAMES.labels(kind).inc(count)


def _depth_symbol(topic: str) -> str | None:
    return topic[: -len("@depth")] if topic.endswith("@depth") else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, FeedHub] = WeakKeyDictionary()


def hub_running() -> FeedHub:
    """The hub of this event loop, started at its first use."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = FeedHub()
        hub.start()
    return hub
