"""Replay protection and rate limits: one Lua script, one round trip to Redis a request at most.

An event loop makes one round trip for all requests that wait.

When Redis does not answer, trading goes on: this process's own memory catches replays, and token
buckets in this process limit rates (so a user gets the limit once per process). Neither check is
ever left out.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.buckets import LocalBuckets, Rate, Verdict
from exchange.infra.event_loop import on_event_loop
from exchange.infra.redis import PREFIX
from exchange.infra.redis_scripts import Asker, Question, Script

# A signature can be used until its timestamp leaves the widest window (60 s, plus 1 s of clock).
# The rest covers the time between the check of the timestamp and this check, and the clocks of
# several hosts: a signature that is forgotten too early could be used twice.
REPLAY_MS: Final = 70_000
REPLAYS_MAX: Final = 200_000

REPLAYED: Final = -1
UNLIMITED: Final = Rate(0, 0)
# Tokens are kept in thousandths, so that a slow refill is not rounded away.
SCRIPT: Final = """
if KEYS[1] ~= '' and not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then
    return {-1, 0}
end
local rate = tonumber(ARGV[2])
if rate == 0 then
    return {0, 0}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'time')
local full = ARGV[3] * 1000
local weight = ARGV[4] * 1000
local tokens = tonumber(bucket[1]) or full
local passed = math.max(0, now - (tonumber(bucket[2]) or now))
tokens = math.min(full, tokens + passed * rate)
local wait = 0
local missing = math.min(weight, full) - tokens
if missing <= 0 then
    tokens = tokens - weight
else
    wait = math.ceil(missing / rate)
end
redis.call('HSET', KEYS[2], 'tokens', tokens, 'time', now)
redis.call('PEXPIRE', KEYS[2], math.ceil((full - tokens) / rate) + 1000)
return {wait, math.max(0, math.floor(tokens / 1000))}
"""


class Ticket(NamedTuple):
    """The checks of one request: its signature ("" where it may come again), and its bucket."""

    signature: str
    bucket: str
    rate: Rate
    weight: int = 1


class ReplayMemory:
    """The signatures of the last REPLAY_MS in one process, at most REPLAYS_MAX."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def is_replay(self, signature: str) -> bool:
        """Remember the signature; return whether it was known."""
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


def now_ms() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Guard:
    """Checks requests in Redis, or in this process while Redis is away."""

    def __init__(self) -> None:
        self._replays = ReplayMemory(now_ms)
        self._local = LocalBuckets(now_ms)
        self._script = Script(SCRIPT)
        self._asker = Asker(self._script)

    def check(self, ticket: Ticket) -> Verdict:
        """Count the request, or return how long it has to wait. Raises auth.replayed."""
        if self._is_free(ticket):
            return Verdict(0, 0)
        keys, args = _question(ticket)
        return self._verdict(ticket, self._script.ask(keys, *args))

    async def checked(self, ticket: Ticket) -> Verdict:
        """Do the same; on an event loop all requests that wait share a round trip."""
        if not on_event_loop():
            return self.check(ticket)
        if self._is_free(ticket):
            return Verdict(0, 0)
        return self._verdict(ticket, await self._asker.ask(_question(ticket)))

    def _is_free(self, ticket: Ticket) -> bool:
        """Return whether nothing has to be counted. Raises auth.replayed."""
        if ticket.signature and self._replays.is_replay(ticket.signature):
            raise DomainError(Code.AUTH_REPLAYED)
        return not ticket.signature and not ticket.rate.per_second

    def _verdict(self, ticket: Ticket, answer: Any) -> Verdict:
        """Return the verdict of the script's answer; for None this process counts."""
        if answer is None:
            if not ticket.rate.per_second:
                return Verdict(0, 0)
            return self._local.take(ticket.bucket, ticket.rate, ticket.weight)
        verdict = Verdict(int(answer[0]), int(answer[1]))
        if verdict.wait_ms == REPLAYED:
            raise DomainError(Code.AUTH_REPLAYED)
        return verdict


def _question(ticket: Ticket) -> Question:
    """Return the script's keys and arguments."""
    replay_key = f"{PREFIX}:signature:{ticket.signature}" if ticket.signature else ""
    keys = (replay_key, f"{PREFIX}:rate:{ticket.bucket}")
    return keys, (REPLAY_MS, *ticket.rate, ticket.weight)


guard: Final = Guard()
