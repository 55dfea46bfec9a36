"""Where each symbol's public feed stands, and what of it outlives the worker.

It is kept in the partition's checkpoint: the depth sequence by symbol id, and under a word of its
own what the last auctions gave, which no row and no snapshot of the engine says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exchange.realtime.publish import PLAIN_MARKET, MarketState

UNCROSSED: Final = "uncrossed"


@dataclass(slots=True)
class SymbolFeed:
    """Where a symbol's public feed stands."""

    sequence: int = 0  # of its depth channel
    last_ticks: int = 0  # price of the last trade, 0 before the first
    market: MarketState = PLAIN_MARKET  # what its state channel told last


def feeds_kept(feeds: Mapping[int, SymbolFeed]) -> dict[str, Any]:
    """What the checkpoint keeps."""
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
    """The feed of a symbol as a checkpoint left it; the engine adds what it knows itself."""
    key = str(symbol_id)
    ticks, lots = kept.get(UNCROSSED, {}).get(key, (0, 0))
    market = PLAIN_MARKET._replace(uncross_ticks=ticks, uncross_lots=lots)
    return SymbolFeed(sequence=kept.get(key, 0), market=market)
