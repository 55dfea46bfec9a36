"""The feed's one publisher: frames, books and best prices into Redis."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import redis

from exchange.infra.redis import (
    FEED_CHANNEL,
    book_key,
    matching_key,
    settle_flag_key,
    state_key,
    top_key,
)
from exchange.realtime.frames import STATE_SUFFIX, Frame, encode_frames

BOOK_LEVELS_MAX: Final = 1_000
HEARTBEAT_LIFE_MS: Final = 5_000
# A flag whose task was lost must not block the next task for long.
SETTLE_FLAG_LIFE_MS: Final = 2_000

# Best bid, best ask and last price in ticks, the depth channel's sequence, the band's reference in
# ticks; 0 where there is none.
TopOfBook = tuple[int, int, int, int, int]

_json: Final = msgspec.json.Encoder()
_msgpack: Final = msgspec.msgpack.Encoder()


class Publisher:
    """Sends frames, tops of books, books and heartbeats. All methods may raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def batch(
        self,
        frames: Sequence[Frame],
        *,
        tops: Mapping[str, TopOfBook],
        heartbeat: tuple[int, Mapping[str, int]] | None = None,
    ) -> None:
        """Publish frames and store tops of books by symbol, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        # The keys come first: a reader that a frame wakes may already look at them.
        for symbol, top in tops.items():
            pipeline.set(top_key(symbol), _msgpack.encode(top))
        for topic, frame in frames:
            if topic.endswith(STATE_SUFFIX):
                pipeline.set(state_key(topic.removesuffix(STATE_SUFFIX)), frame)
        if frames:
            pipeline.publish(FEED_CHANNEL, encode_frames(frames))
        if heartbeat is not None:
            partition_id, body = heartbeat
            pipeline.set(matching_key(partition_id), _json.encode(body), px=HEARTBEAT_LIFE_MS)
        pipeline.execute()

    def books(
        self,
        books: Mapping[str, bytes],
        *,
        tops: Mapping[str, TopOfBook],
        states: Mapping[str, bytes],
    ) -> None:
        """Store depth snapshots, tops of books and market states by symbol.

        The worker stores all of them again after Redis lost its data.
        """
        pipeline = self._client.pipeline(transaction=False)
        for symbol, frame in states.items():
            pipeline.set(state_key(symbol), frame)
        for symbol, top in tops.items():
            pipeline.set(top_key(symbol), _msgpack.encode(top))
        for symbol, snapshot in books.items():
            pipeline.set(book_key(symbol), snapshot)
        pipeline.execute()

    def settlement_flag_set(self, partition_id: int) -> bool:
        """Set the settlement flag; False where it is set and settlement has not begun yet."""
        key = settle_flag_key(partition_id)
        return bool(self._client.set(key, b"1", nx=True, px=SETTLE_FLAG_LIFE_MS))
