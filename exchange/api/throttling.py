"""Replay protection and rate limits: one Lua script, one round trip to Redis a signed request.

When Redis does not answer, trading goes on: replays are then caught by this process's own memory,
and rates are held by a token bucket in this process (so a user gets the limit once per process).
Neither is ever simply open.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.redis import PREFIX
from exchange.redis_scripts import Script

# A signature can be used until its timestamp leaves the widest window (60 s, plus 1 s of clock).
# The rest is for what passes between the check of the timestamp and this one, and for the clocks
# of several hosts: a signature that is forgotten a moment early could be used twice.
REPLAY_MS: Final = 70_000
REPLAYS_MAX: Final = 200_000
BUCKETS_MAX: Final = 50_000

REPLAYED: Final = -1
# Tokens are kept in thousandths, so that a slow refill is not rounded away.
SCRIPT: Final = """
if KEYS[1] ~= '' and not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then
    return -1
end
local rate = tonumber(ARGV[2])
if rate == 0 then
    return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'time')
local full = rate * 1000
local tokens = tonumber(bucket[1]) or full
local passed = math.max(0, now - (tonumber(bucket[2]) or now))
tokens = math.min(full, tokens + passed * rate)
local wait = 0
if tokens >= 1000 then
    tokens = tokens - 1000
else
    wait = math.ceil((1000 - tokens) / rate)
end
redis.call('HSET', KEYS[2], 'tokens', tokens, 'time', now)
redis.call('PEXPIRE', KEYS[2], 2000)
return wait
"""


class Ticket(NamedTuple):
    """What one request has to pass: its signature, and the bucket it takes from (rate 0: none)."""

    signature: str
    bucket: str
    rate: int


class LocalGuard:
    """The same rules within one process, bounded; serves when Redis does not."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._buckets: dict[str, tuple[float, int]] = {}

    def is_replay(self, signature: str) -> bool:
        """Remember the signature; whether it was here before."""
        now = self._now_ms()
        with self._lock:
            seen = self._seen
            if seen.get(signature, 0) > now:
                return True
            seen[signature] = now + REPLAY_MS
            while seen:
                oldest = next(iter(seen))
                if seen[oldest] > now and len(seen) <= REPLAYS_MAX:
                    break
                del seen[oldest]
        return False

    def wait_ms(self, bucket: str, rate: int) -> int:
        """Take a token; 0, or how long until there is one."""
        now = self._now_ms()
        with self._lock:
            tokens, time_ms = self._buckets.pop(bucket, (float(rate), now))
            tokens = min(float(rate), tokens + max(0, now - time_ms) * rate / 1000)
            wait = 0 if tokens >= 1 else int((1 - tokens) * 1000 / rate) + 1
            self._buckets[bucket] = (tokens - 1 if tokens >= 1 else tokens, now)
            while len(self._buckets) > BUCKETS_MAX:
                del self._buckets[next(iter(self._buckets))]
        return wait


class Guard:
    """Asks Redis, or itself where Redis is away."""

    def __init__(self) -> None:
        self._local = LocalGuard(lambda: time.time_ns() // 1_000_000)
        self._script = Script(SCRIPT)

    def check(self, ticket: Ticket) -> None:
        """Raise auth.replayed or risk.order_rate, or let the request pass and count it."""
        if ticket.signature and self._local.is_replay(ticket.signature):
            raise DomainError(Code.AUTH_REPLAYED)
        if not ticket.signature and not ticket.rate:
            return
        wait_ms = self._ask(ticket)
        if wait_ms is None:
            wait_ms = self._local.wait_ms(ticket.bucket, ticket.rate) if ticket.rate else 0
        if wait_ms == REPLAYED:
            raise DomainError(Code.AUTH_REPLAYED)
        if wait_ms > 0:
            raise DomainError(
                Code.RISK_ORDER_RATE, limit=ticket.rate, retry_after_s=-(-wait_ms // 1000)
            )

    def _ask(self, ticket: Ticket) -> int | None:
        """The script's answer, or None when Redis has none."""
        replay_key = f"{PREFIX}:signature:{ticket.signature}" if ticket.signature else ""
        keys = (replay_key, f"{PREFIX}:rate:{ticket.bucket}")
        answer = self._script.ask(keys, REPLAY_MS, ticket.rate)
        return None if answer is None else int(answer)


guard: Final = Guard()
