"""What the risk rules need to know of the market: the top of each book, as the worker tells it."""

import threading
import time
from typing import Any, Final

import msgspec
import redis
from django.core.exceptions import SynchronousOnlyOperation

from exchange.infra.event_loop import on_event_loop
from exchange.infra.redis import redis_client, top_key
from risk.pretrade.rules import NO_TOP, Top

# A band or a slippage bound moves with the market; a tenth of a second late is close enough, and
# saves a round trip for nearly every order of a busy symbol.
TOP_AGE_MAX_S: Final = 0.1
# After a failure the prices are unknown for a while, instead of a timeout an order: a few threads
# ask for all orders of a process, and would have no time for anything else.
PAUSE_AFTER_FAILURE_S: Final = 1.0
DECODER: Final = msgspec.msgpack.Decoder(list[int])

_tops: dict[str, tuple[float, Top]] = {}
_clients = threading.local()
_paused_until = 0.0


class TopUnavailable(Exception):
    """Redis did not answer, so the market's prices are not known at the moment."""


def top_of_book(symbol: str) -> Top:
    """The symbol's best prices and last price, at most TOP_AGE_MAX_S old; raises TopUnavailable.

    On an event loop it asks nobody: it raises SynchronousOnlyOperation where the top is older.

    Redis may have been emptied: then there is no top until the worker writes the next one.
    """
    global _paused_until
    now = time.monotonic()
    known = _tops.get(symbol)
    if known is not None and now - known[0] < TOP_AGE_MAX_S:
        return known[1]
    if now < _paused_until:
        raise TopUnavailable(symbol)
    if on_event_loop():
        raise SynchronousOnlyOperation
    client = getattr(_clients, "client", None)
    if client is None:
        client = _clients.client = redis_client()
    try:
        data: Any = client.get(top_key(symbol))
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
        raise TopUnavailable(symbol) from error
    top = NO_TOP if data is None else _decoded(data)
    if top.bid_ticks and top.ask_ticks:  # an empty side may fill at any moment: ask again
        _tops[symbol] = (now, top)
    return top


def _decoded(data: bytes) -> Top:
    """What the worker wrote: bid, ask, last, sequence, and the band's reference."""
    bid_ticks, ask_ticks, last_ticks, _, *reference = DECODER.decode(data)
    return Top(bid_ticks, ask_ticks, last_ticks, *reference[:1])


def tops_forget() -> None:
    """Ask Redis afresh (between tests)."""
    global _paused_until
    _paused_until = 0.0
    _tops.clear()
