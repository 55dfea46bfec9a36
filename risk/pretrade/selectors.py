"""The top of book of each symbol, read from Redis and kept for a moment, for the risk rules."""

import time
from typing import Final

import msgspec

from exchange.infra.redis import KeyReader, RedisAway, top_key
from risk.pretrade.rules import NO_TOP, Top

# For a band or a slippage bound a top that is a tenth of a second old is close enough. It saves a
# round trip for nearly every order of a busy symbol.
TOP_AGE_MAX_S: Final = 0.1
DECODER: Final = msgspec.msgpack.Decoder(list[int])

_tops: dict[str, tuple[float, Top]] = {}
reader: Final = KeyReader()


class TopUnavailable(Exception):
    """Redis did not answer, so the market's prices are unknown."""


def top_of_book(symbol: str) -> Top:
    """Return the symbol's top of book, at most TOP_AGE_MAX_S old. Raises TopUnavailable.

    On an event loop it does not call Redis: it raises SynchronousOnlyOperation where the kept top
    is too old. After Redis was emptied it returns NO_TOP until the worker writes the next top.
    """
    now = time.monotonic()
    known = _tops.get(symbol)
    if known is not None and now - known[0] < TOP_AGE_MAX_S:
        return known[1]
    try:
        data = reader.get(top_key(symbol))
    except RedisAway as error:
        raise TopUnavailable(symbol) from error
    top = NO_TOP if data is None else _decoded(data)
    if top.bid_ticks and top.ask_ticks:  # an empty side may fill at any moment: ask again
        _tops[symbol] = (now, top)
    return top


def _decoded(data: bytes) -> Top:
    """Decode the worker's list: bid, ask, last price, sequence, and the band's reference if any."""
    bid_ticks, ask_ticks, last_ticks, _, *reference = DECODER.decode(data)
    return Top(bid_ticks, ask_ticks, last_ticks, *reference[:1])


def tops_forget() -> None:
    """Forget all kept tops and the pause after a failure of Redis (between tests)."""
    reader.pause.end()
    _tops.clear()
