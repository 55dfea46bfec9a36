"""Book replica: one symbol's book out of the worker's snapshot and the deltas after it.

Pure: bytes in, bytes out. Redis may lose messages of the feed, so every delta names the sequence
before it; a delta that does not follow makes the replica stale until a snapshot heals it. Recent
deltas are kept, because the stored snapshot is always a little older than the feed.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum

import msgspec

LEVELS_MAX = 1_000  # levels a side in a snapshot, the worker's and the replica's
LEVELS_LOW = 500  # a truncated side with fewer known levels wants a fresh snapshot
RECENT_MAX = 4_096  # deltas kept to bridge from a stored snapshot to now

Level = tuple[str, str]


class DepthFrame(msgspec.Struct, omit_defaults=True):
    """A depth frame as it travels: prices and quantities are decimal strings."""

    channel: str
    type: str
    sequence: int
    time: str
    bids: list[Level]
    asks: list[Level]
    previous: int | None = None


_decode = msgspec.json.Decoder(DepthFrame).decode
_encode = msgspec.json.Encoder().encode


class DeltaResult(Enum):
    """What a delta did to the replica; only an APPLIED delta may be forwarded."""

    APPLIED = "applied"
    REPEATED = "repeated"  # received before (a worker republishes after a crash)
    GAP = "gap"  # a delta before it is missing: a snapshot is needed
    BUFFERED = "buffered"  # kept until a snapshot arrives


class _Side:
    """Price -> quantity of one side. Levels beyond `horizon`, a price, are unknown."""

    def __init__(self, *, best_is_highest: bool) -> None:
        self.best_is_highest = best_is_highest
        self.levels: dict[str, str] = {}
        self.horizon: Decimal | None = None  # None: the whole side is known

    def load(self, levels: list[Level]) -> None:
        self.levels = dict(levels)
        truncated = len(levels) >= LEVELS_MAX
        prices = [Decimal(price) for price, _ in levels] if truncated else []
        self.horizon = (min(prices) if self.best_is_highest else max(prices)) if prices else None

    def apply(self, changes: list[Level]) -> None:
        for price, quantity in changes:
            if quantity == "0":
                self.levels.pop(price, None)
            elif self.horizon is None or not self._beyond(Decimal(price)):
                self.levels[price] = quantity

    def _beyond(self, price: Decimal) -> bool:
        assert self.horizon is not None
        return price < self.horizon if self.best_is_highest else price > self.horizon

    def best(self) -> list[Level]:
        ordered = sorted(
            self.levels.items(), key=lambda level: Decimal(level[0]), reverse=self.best_is_highest
        )
        return ordered[:LEVELS_MAX]

    def is_low(self) -> bool:
        return self.horizon is not None and len(self.levels) < LEVELS_LOW


class BookReplica:
    """The book of one symbol at `sequence` while `is_live`; otherwise it waits for a snapshot."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.is_live = False
        self.sequence = 0
        self._time = ""
        self._bids = _Side(best_is_highest=True)
        self._asks = _Side(best_is_highest=False)
        self._recent: deque[DepthFrame] = deque(maxlen=RECENT_MAX)
        self._snapshot: bytes | None = None

    @property
    def wants_snapshot(self) -> bool:
        """Whether the replica is stale, or a truncated side has few known levels left."""
        return not self.is_live or self._bids.is_low() or self._asks.is_low()

    def doubt(self) -> None:
        """Become stale and forget recent deltas: messages may have been lost unnoticed."""
        self.is_live = False
        self._recent.clear()

    def apply(self, frame: bytes) -> DeltaResult:
        """Apply the next delta of the feed; raises msgspec.DecodeError for other bytes."""
        delta = _decode(frame)
        newest = self._recent[-1].sequence if self._recent else None
        if newest is None and self.is_live:
            newest = self.sequence
        if newest is not None and delta.sequence <= newest:
            return DeltaResult.REPEATED
        if newest is not None and delta.previous != newest:
            self.doubt()
            self._recent.append(delta)
            return DeltaResult.GAP
        self._recent.append(delta)
        if not self.is_live:
            return DeltaResult.BUFFERED
        self._take(delta)
        return DeltaResult.APPLIED

    def load(self, frame: bytes, *, accept_older: bool = False) -> bool:
        """Load a stored snapshot and the kept deltas after it; return whether it fitted.

        It does not fit where a delta between is missing, or where the result is older than the
        book already forwarded, unless `accept_older`. Raises msgspec.DecodeError for other bytes.
        """
        snapshot = _decode(frame)
        missing = _after(snapshot.sequence, self._recent)
        if missing is None:
            return False
        end = missing[-1].sequence if missing else snapshot.sequence
        if end < self.sequence and not accept_older:
            return False
        self._bids.load(snapshot.bids)
        self._asks.load(snapshot.asks)
        self.sequence, self._time = snapshot.sequence, snapshot.time
        for delta in missing:
            self._take(delta)
        self._snapshot = None
        self.is_live = True
        return True

    def snapshot(self) -> bytes:
        """Return the depth snapshot at `sequence`, encoded once for all sockets."""
        assert self.is_live
        if self._snapshot is None:
            self._snapshot = _encode(
                DepthFrame(
                    channel=f"{self.symbol}@depth",
                    type="snapshot",
                    sequence=self.sequence,
                    time=self._time,
                    bids=self._bids.best(),
                    asks=self._asks.best(),
                )
            )
        return self._snapshot

    def _take(self, delta: DepthFrame) -> None:
        assert delta.previous == self.sequence
        self._bids.apply(delta.bids)
        self._asks.apply(delta.asks)
        self.sequence, self._time = delta.sequence, delta.time
        self._snapshot = None


def _after(sequence: int, recent: Iterable[DepthFrame]) -> list[DepthFrame] | None:
    """Return the deltas after `sequence`; None where the first does not follow it."""
    later = [delta for delta in recent if delta.sequence > sequence]
    if later and later[0].previous != sequence:
        return None
    return later
