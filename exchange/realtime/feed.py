"""The feed within one process: a book replica per symbol, and the sockets that follow each topic.

The publisher serializes a frame once; the hub decodes it to text once and puts it into the send
queue of each follower. When Redis is lost, replicas become stale, clients are told, and sockets
stay open. The hub reads no money and never waits.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from exchange.domain.ids import time_ms_text
from exchange.infra.metrics import FEED_CONNECTIONS, FEED_FRAMES
from exchange.realtime.frames import STATE_SUFFIX
from exchange.realtime.protocol import answer
from exchange.realtime.replica import BookReplica, DeltaResult
from exchange.realtime.send_queue import SendQueue

log = structlog.get_logger(__name__)

# The worker rewrites every book within 5 s. A book stale for longer takes even an older snapshot.
OLDER_ACCEPTED_S: Final = 12.0

CLOSED = Counter("takas_ws_closed", "Connections the server ended", ["code"])
RESYNCS = Counter("takas_feed_resyncs", "Books rebuilt from a snapshot after a gap", ["symbol"])
CONNECTED = Gauge("takas_feed_connected", "1 while this process is subscribed to the feed")
BAD_FRAMES = Counter("takas_feed_bad_frames", "Feed messages that could not be read")

_batch_decode = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class _AccountFrame(msgspec.Struct):
    """The only field that the hub reads of a private frame: which private channel it is for."""

    channel: str


_account_decode = msgspec.json.Decoder(_AccountFrame).decode


class FeedHub:
    """All sockets of one process. All calls come from one event loop, so there are no locks."""

    def __init__(self) -> None:
        self._send_queues: set[SendQueue] = set()
        self._topics: dict[str, set[SendQueue]] = {}
        self._waiting: dict[str, set[SendQueue]] = {}  # by topic: they want its first frame
        self._replicas: dict[str, BookReplica] = {}
        self._stale_since: dict[str, float] = {}
        self._states: dict[str, str] = {}  # symbol -> the newest frame of its state channel
        self.resync = asyncio.Event()  # set when a snapshot is wanted
        self.is_connected = False

    # --- sockets ----------------------------------------------------------------------------

    def join(self, send_queue: SendQueue) -> None:
        """Add a socket, which gets heartbeats from now on."""
        self._send_queues.add(send_queue)
        FEED_CONNECTIONS.set(len(self._send_queues))

    def leave(self, send_queue: SendQueue) -> None:
        """Remove a socket and end all that it follows."""
        for topic in list(send_queue.topics):
            self.unfollow(send_queue, topic)
        self._send_queues.discard(send_queue)
        FEED_CONNECTIONS.set(len(self._send_queues))
        if send_queue.close_code is not None:
            CLOSED.labels(send_queue.close_code.name.lower()).inc()

    def follow(self, send_queue: SendQueue, topic: str) -> None:
        """Send the frames of `topic` to this socket from now on.

        A book begins with a snapshot, a market state with its newest frame: at once, or as soon as
        there is one. Nothing awaits between the first frame and the joining, so no frame is lost
        between them (W1).
        """
        send_queue.topics.add(topic)
        is_known, first = self._first_frame(topic)
        if first is not None:
            send_queue.put(first)
        if is_known:
            self._topics.setdefault(topic, set()).add(send_queue)
        else:
            self._waiting.setdefault(topic, set()).add(send_queue)
            self.resync.set()

    def _first_frame(self, topic: str) -> tuple[bool, str | None]:
        """Return whether a socket can follow the topic at once, and the topic's first frame."""
        if topic.endswith(STATE_SUFFIX):
            frame = self._states.get(topic.removesuffix(STATE_SUFFIX))
            return frame is not None, frame
        symbol = _depth_symbol(topic)
        if symbol is None:
            return True, None
        replica = self._replica(symbol)
        return replica.is_live, replica.snapshot().decode() if replica.is_live else None

    def unfollow(self, send_queue: SendQueue, topic: str) -> None:
        """Send the frames of `topic` to this socket no more."""
        send_queue.topics.discard(topic)
        for followers in (self._topics, self._waiting):
            if topic in followers:
                followers[topic].discard(send_queue)
                if not followers[topic]:
                    del followers[topic]

    def users(self) -> set[int]:
        """Return the ids of the users with a socket here."""
        return {queue.user_id for queue in self._send_queues if queue.user_id is not None}

    # --- frames -----------------------------------------------------------------------------

    def dispatch(self, message: bytes) -> None:
        """Forward one feed message, a list of (topic, frame); unreadable frames are skipped."""
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
        symbol = _depth_symbol(topic)
        if symbol is not None and not self._replica_apply(symbol, frame):
            return
        if topic.endswith(STATE_SUFFIX):
            self._states[topic.removesuffix(STATE_SUFFIX)] = frame.decode()
            self._waiting_join(topic)
        followers = self._topics.get(topic)
        if not followers:
            return
        if topic.startswith("account:"):
            channel = _account_decode(frame).channel
            _send([queue for queue in followers if channel in queue.private], frame, "private")
        else:
            _send(followers, frame, "public")

    def _replica(self, symbol: str) -> BookReplica:
        replica = self._replicas.get(symbol)
        if replica is None:
            replica = self._replicas[symbol] = BookReplica(symbol)
            self._stale_since[symbol] = time.monotonic()
        return replica

    def _replica_apply(self, symbol: str, frame: bytes) -> bool:
        """Apply a delta to the replica; return whether it may be forwarded."""
        result = self._replica(symbol).apply(frame)
        if result is DeltaResult.GAP:
            log.warning("feed_gap", symbol=symbol)
            self._stale(symbol)
        return result is DeltaResult.APPLIED

    def _stale(self, symbol: str) -> None:
        """Make the book's followers wait for a snapshot."""
        self._stale_since[symbol] = time.monotonic()
        self._followers_wait(f"{symbol}@depth")

    def _followers_wait(self, topic: str) -> None:
        followers = self._topics.pop(topic, None)
        if followers:
            self._waiting.setdefault(topic, set()).update(followers)
        self.resync.set()

    def _waiting_join(self, topic: str) -> set[SendQueue]:
        """Make the sockets that waited for the topic's first frame followers; return them."""
        waiting = self._waiting.pop(topic, set())
        if waiting:
            self._topics.setdefault(topic, set()).update(waiting)
        return waiting

    # --- the connection to Redis ------------------------------------------------------------

    def connected(self) -> None:
        """Note a new subscription: frames before it may be lost, so all replicas become stale."""
        self.is_connected = True
        CONNECTED.set(1)
        for symbol, replica in self._replicas.items():
            replica.doubt()
            self._stale(symbol)
        for symbol in self._states:
            self._followers_wait(f"{symbol}{STATE_SUFFIX}")
        self._states.clear()
        self.resync.set()
        log.info("feed_connected")

    def disconnected(self) -> None:
        """Note the loss of the subscription and tell every socket."""
        if self.is_connected:
            self.is_connected = False
            CONNECTED.set(0)
            self.heartbeat()

    def wanting(self) -> list[str]:
        """Return the symbols whose replica wants a stored snapshot."""
        return [symbol for symbol, replica in self._replicas.items() if replica.wants_snapshot]

    def load(self, stored: Iterable[tuple[str, bytes | None]]) -> None:
        """Load stored snapshots, by symbol; a replica still wants one where none fits yet."""
        for symbol, frame in stored:
            replica = self._replicas[symbol]
            if frame is None or not replica.wants_snapshot:
                continue
            was_live = replica.is_live
            stale_s = time.monotonic() - self._stale_since[symbol]
            try:
                loaded = replica.load(frame, accept_older=stale_s > OLDER_ACCEPTED_S)
            except msgspec.DecodeError:
                BAD_FRAMES.inc()
                log.warning("feed_book_unreadable", symbol=symbol)
                continue
            if loaded and not was_live:
                self._resynced(symbol, replica)

    def _resynced(self, symbol: str, replica: BookReplica) -> None:
        RESYNCS.labels(symbol).inc()
        waiting = self._waiting_join(f"{symbol}@depth")
        if waiting:
            _send(waiting, replica.snapshot(), "snapshot")

    def wanting_states(self) -> list[str]:
        """Return the symbols for whose market state a socket waits."""
        return [
            topic.removesuffix(STATE_SUFFIX)
            for topic in self._waiting
            if topic.endswith(STATE_SUFFIX)
        ]

    def load_states(self, stored: Iterable[tuple[str, bytes | None]]) -> None:
        """Take over stored market states, except where the feed has brought a newer one."""
        for symbol, frame in stored:
            if frame is None or symbol in self._states:
                continue
            try:
                self._states[symbol] = frame.decode()
            except UnicodeDecodeError:
                BAD_FRAMES.inc()
                log.warning("feed_state_unreadable", symbol=symbol)
                continue
            _send(self._waiting_join(f"{symbol}{STATE_SUFFIX}"), frame, "snapshot")

    def heartbeat(self) -> None:
        """Send every socket a heartbeat, which says whether this process gets the feed."""
        feed = "live" if self.is_connected else "stale"
        frame = answer("heartbeat", time=_now(), feed=feed)
        for send_queue in self._send_queues:
            send_queue.put(frame)


def _send(send_queues: Iterable[SendQueue], frame: bytes, kind: str) -> None:
    text = frame.decode()
    count = 0
    for send_queue in send_queues:
        send_queue.put(text)
        count += 1
    FEED_FRAMES.labels(kind).inc(count)


def _depth_symbol(topic: str) -> str | None:
    return topic[: -len("@depth")] if topic.endswith("@depth") else None


def _now() -> str:
    return time_ms_text(time.time_ns() // 1_000_000)
