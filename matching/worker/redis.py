"""The worker's stream and feed on Redis. Any failure of Redis is StreamDown, and costs latency."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import redis

from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits
from exchange.infra.redis import BLOCK_MS_MAX, commands_stream
from exchange.realtime.frames import (
    PLAIN_MARKET,
    Frame,
    MarketState,
    SymbolText,
    depth_snapshot,
    state_frame,
)
from exchange.realtime.publish import BOOK_LEVELS_MAX, Publisher, TopOfBook
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.worker.ports import Clock, StreamDown

FIELD: Final = b"c"
_START: Final = "0-0"
LAG_COUNT_MAX: Final = 10_000  # entries counted, for the metric alone


@contextmanager
def _stream_down() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StreamDown(str(error)) from error


class RedisStream:
    """A partition's command stream, read from a position that is stored in Postgres."""

    def __init__(self, client: redis.Redis, partition_id: int) -> None:
        self._client = client
        self._key = commands_stream(partition_id)

    def read(self, position: str, count: int, wait_ms: int) -> list[tuple[str, bytes]]:
        """Return up to `count` (position, encoded command) after `position`.

        Waits up to `wait_ms` for the first. Raises StreamDown.
        """
        block = min(wait_ms, BLOCK_MS_MAX) or None  # 0 would mean for ever
        with _stream_down():
            answer: Any = self._client.xread({self._key: position}, count=count, block=block)
        if not answer:
            return []
        [(_key, entries)] = answer
        return [(entry_id.decode(), fields.get(FIELD, b"")) for entry_id, fields in entries]

    def start_for(self, position: str) -> str:
        """Return the position to read from: `position`, or the start if the stream ends before it.

        Raises StreamDown.
        """
        with _stream_down():
            try:
                info: Any = self._client.xinfo_stream(self._key)
            except redis.ResponseError:  # there is no stream yet
                return _START
        last = info["last-generated-id"].decode()
        return position if _order_of(position) <= _order_of(last) else _START

    def trim(self, position: str) -> None:
        """Forget entries below a committed position. Raises StreamDown."""
        with _stream_down():
            self._client.xtrim(self._key, minid=position, approximate=True)

    def lag(self, position: str) -> int:
        """Count the entries after a position, up to LAG_COUNT_MAX. Raises StreamDown."""
        with _stream_down():
            entries: Any = self._client.xrange(self._key, min=f"({position}", count=LAG_COUNT_MAX)
        return len(entries)


def _order_of(position: str) -> tuple[int, int]:
    milliseconds, _, counter = position.partition("-")
    return int(milliseconds), int(counter or 0)


class FeedState(Protocol):
    """The present position of a symbol's public feed: sequence, last price, market state."""

    sequence: int
    last_ticks: int
    market: MarketState


class RedisFeed:
    """Publishes committed results. Reads the engine's books and never changes them."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        partition_id: int,
        epoch: int,
        engine: Engine,
        units: Mapping[int, SymbolUnits],
        feeds: Mapping[int, FeedState],
        clock: Clock,
        notify_settlement: Callable[[], None],
    ) -> None:
        self._publisher = publisher
        self._partition_id = partition_id
        self._epoch = epoch
        self._engine = engine
        self._units = units
        self._feeds = feeds
        self._clock = clock
        self._notify_settlement = notify_settlement
        self._texts: dict[int, SymbolText] = {}

    def publish(self, frames: Sequence[Frame], symbol_ids: Collection[int]) -> None:
        """Send frames, the best prices of these symbols and the heartbeat in one go."""
        heartbeat = {
            "epoch": self._epoch,
            "sequence": self._engine.sequence,
            "time_ms": self._clock.now_ms(),
        }
        with _stream_down():
            self._publisher.batch(
                frames,
                tops={
                    self._text(one).code: self._top(one) for one in symbol_ids if self._knows(one)
                },
                heartbeat=(self._partition_id, heartbeat),
            )

    def snapshot(self, symbol_ids: Collection[int]) -> None:
        """Store the books, best prices and market states of these symbols."""
        time = time_ms_text(self._clock.now_ms())
        known = [(self._text(one).code, one) for one in symbol_ids if self._knows(one)]
        books = {code: self._book(one, time) for code, one in known}
        tops = {code: self._top(one) for code, one in known}
        states = {code: self._state(one, time) for code, one in known}
        with _stream_down():
            self._publisher.books(books, tops=tops, states=states)

    def notify_settlement(self) -> None:
        """Set the settlement flag of this partition, without waiting for anything."""
        self._notify_settlement()

    def _knows(self, symbol_id: int) -> bool:
        return symbol_id in self._units

    def _text(self, symbol_id: int) -> SymbolText:
        text = self._texts.get(symbol_id)
        if text is None:
            text = self._texts[symbol_id] = SymbolText(self._units[symbol_id])
        return text

    def _top(self, symbol_id: int) -> TopOfBook:
        book: Book = self._engine.book(symbol_id)
        feed = self._feeds.get(symbol_id)
        last_ticks, sequence = (feed.last_ticks, feed.sequence) if feed is not None else (0, 0)
        band = book.advanced.band if book.advanced is not None else None
        reference_ticks = band.reference_ticks if band is not None else 0
        return book.best_bid() or 0, book.best_ask() or 0, last_ticks, sequence, reference_ticks

    def _book(self, symbol_id: int, time: str) -> bytes:
        bids, asks = self._engine.book(symbol_id).depth(BOOK_LEVELS_MAX)
        feed = self._feeds.get(symbol_id)
        return depth_snapshot(
            self._text(symbol_id),
            sequence=feed.sequence if feed is not None else 0,
            time=time,
            bids=bids,
            asks=asks,
        )

    def _state(self, symbol_id: int, time: str) -> bytes:
        feed = self._feeds.get(symbol_id)
        market = feed.market if feed is not None else PLAIN_MARKET
        return state_frame(self._text(symbol_id), market, time=time)[1]
