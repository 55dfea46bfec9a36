"""The state of each symbol's public feed, and the part of it that outlives the worker.

The partition's checkpoint keeps the depth sequence by symbol id, and under a key of its own the
results of the last auctions, which are in no row and no snapshot of the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exchange.realtime.frames import PLAIN_MARKET, MarketState

UNCROSSED: Final = "uncrossed"


@dataclass(slots=True)
class SymbolFeed:
    """The state of a symbol's public feed."""

    sequence: int = 0  # of its depth channel
    last_ticks: int = 0  # price of the last trade, 0 before the first
    market: MarketState = PLAIN_MARKET  # last frame of its state channel


def feeds_kept(feeds: Mapping[int, SymbolFeed]) -> dict[str, Any]:
    """Return the part of the feeds that the checkpoint keeps."""
    kept: dict[str, Any] = {str(symbol_id): feed.sequence for symbol_id, feed in feeds.items()}
    uncrossed = {
        str(symbol_id): [feed.market.uncross_ticks, feed.market.uncross_lots]
        for symbol_id, feed in feeds.items()
        if feed.market.uncross_ticks
    }
    if uncrossed:
        kept[UNCROSSED] = uncrossed
    return kept


def feed_of(kept: Mapping[str, Any], symbol_id: int) -> SymbolFeed:
    """Return the feed of a symbol from a checkpoint; the engine adds the rest of its state."""
    key = str(symbol_id)
    ticks, lots = kept.get(UNCROSSED, {}).get(key, (0, 0))
    market = PLAIN_MARKET._replace(uncross_ticks=ticks, uncross_lots=lots)
    return SymbolFeed(sequence=kept.get(key, 0), market=market)
