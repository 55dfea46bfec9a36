"""The newest state frame of each market in words, for the list of symbols.

The feed stores the frames in Redis: without Redis this column is empty, but the states still show.
"""

from collections.abc import Sequence

import msgspec
import redis
import structlog
from msgspec import Struct

from exchange.infra.redis import redis_client, state_key

log = structlog.get_logger(__name__)


class _StateFrame(Struct):
    """The shown part of a state frame (exchange/realtime/frames.py)."""

    phase: str = "none"
    due_at: str | None = None
    indicative_price: str | None = None
    indicative_quantity: str | None = None
    reference_price: str | None = None

    def words(self) -> str:
        parts = []
        if self.phase != "none":
            parts.append(f"interruption: {self.phase} until {self.due_at}")
        if self.indicative_price:
            parts.append(f"auction at {self.indicative_price} for {self.indicative_quantity}")
        if self.reference_price:
            parts.append(f"band around {self.reference_price}")
        return "; ".join(parts)


_decoder = msgspec.json.Decoder(_StateFrame)


def markets_read(codes: Sequence[str]) -> dict[str, str]:
    """Return the market of each symbol code in words; codes without a stored frame are missing."""
    if not codes:
        return {}
    client = redis_client()
    try:
        frames = client.mget([state_key(code) for code in codes])
    except redis.RedisError as error:
        log.warning("market_now.unreachable", error=str(error))
        return {}
    finally:
        client.close()
    return {
        code: _decoder.decode(frame).words()
        for code, frame in zip(codes, frames, strict=True)
        if frame is not None
    }
