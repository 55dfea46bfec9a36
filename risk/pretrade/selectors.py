"""What the risk rules need to know of the market: the top of each book, as the worker tells it."""

import threading
import time
from typing import Any, Final

import msgspec
import redis

from exchange.infra.event_loop import threads_only
from exchange.infra.redis import Pause, redis_client, top_key
from risk.pretrade.rules import NO_TOP, Top

# A band or a slippage bound moves with the market; a tenth of a second late is close enough, and
# saves a round trip for nearly every order of a busy symbol.
TOP_AGE_MAX_S: Final = 0.1
DECODER: Final = msgspec.msgpack.Decoder(list[int])

_tops: dict[str, tuple[float, Top]] = {}
thread_clients = threading.local()
# A few threads ask for all orders of a process: timeouts would leave no time for anything else.
_pause: Final = Pause()


class TopUnavailable(Exception):
    """Redis did not answer, so the market's prices are not known at the moment."""


def top_of_book(symbol: str) -> Top:
    """The symbol's best prices and last price, at most TOP_AGE_MAX_S old; raises TopUnavailable.

    On an event loop it asks nobody: it raises SynchronousOnlyOperation where the top is older.

    Redis may have been emptied: then there is no top until the worker writes the next one.
    """
    now = time.monotonic()
    known = _tops.get(symbol)
    if known is not None and now - known[0] < TOP_AGE_MAX_S:
        return known[1]
    if _pause.is_on:
        raise TopUnavailable(symbol)
    threads_only()
    client = getattr(thread_clients, "client", None)
    if client is None:
        client = thread_clients.client = redis_client()
    try:
        data: Any = client.get(top_key(symbol))
    except redis.RedisError as error:
        _pause.begin(error)
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
    _pause.end()
    _tops.clear()
