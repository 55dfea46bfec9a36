"""Counters of attempts to sign in: in Redis for all processes, in this process without Redis.

An attempt is counted before its password is checked, and given back if the password was right. So
attempts at the same time cannot exceed what a counter leaves free.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.redis import PREFIX
from exchange.infra.redis_scripts import Script
from exchange.signin.rules import (
    ACCOUNT,
    DOUBLINGS_MAX,
    FORGOTTEN_MS,
    KNOWN_MS,
    KNOWN_NETWORKS_MAX,
    NETWORK,
    PAIR,
    Attempt,
    Rule,
    wait_ms,
)

COUNTERS_MAX: Final = 20_000  # in this process; and as many known networks

# KEYS: known networks, then the counters of pair, account and network.
# ARGV: network, now, KNOWN_MS, FORGOTTEN_MS, DOUBLINGS_MAX, then free, first and most of each
# counter, then whether to count.
TAKE: Final = """
local now = tonumber(ARGV[2])
local seen = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1')
local known = seen >= 0 and now - seen < tonumber(ARGV[3])
local last = known and 2 or 4
local wait = 0
local counts = {}
for i = 2, last do
    local kept = redis.call('HMGET', KEYS[i], 'count', 'time')
    local count, time = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
    if now - time >= tonumber(ARGV[4]) then
        count = 0
    end
    counts[i] = count
    local free = tonumber(ARGV[3 * i])
    if count >= free then
        local doublings = math.min(count - free, tonumber(ARGV[5]))
        local delay = math.min(tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 1]) * 2 ^ doublings)
        wait = math.max(wait, time + delay - now)
    end
end
if wait == 0 and ARGV[15] == '1' then
    for i = 2, last do
        redis.call('HSET', KEYS[i], 'count', counts[i] + 1, 'time', now)
        redis.call('PEXPIRE', KEYS[i], ARGV[4])
    end
end
return {wait, known and 1 or 0}
"""

# ARGV: network, now, KNOWN_MS, KNOWN_NETWORKS_MAX, whether the password was right, last counter.
GIVE_BACK: Final = """
local right = ARGV[5] == '1'
for i = 2, tonumber(ARGV[6]) do
    if i == 2 and right then
        redis.call('DEL', KEYS[i])
    elseif redis.call('HINCRBY', KEYS[i], 'count', -1) <= 0 then
        redis.call('DEL', KEYS[i])
    end
end
if right then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[4]))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""

_RULES: Final = (PAIR, ACCOUNT, NETWORK)


class Taken(NamedTuple):
    """The verdict on an attempt: its wait (0: it may go on), and whether its network is known."""

    attempt: Attempt
    wait_ms: int
    is_known: bool

    @property
    def wait_s(self) -> int:
        """The wait in seconds, rounded up."""
        return -(-self.wait_ms // 1000)


class Counters(Protocol):
    """Counters of attempts. `take` without `counted` only looks. None or False: no answer now."""

    def take(self, attempt: Attempt, now_ms: int, *, counted: bool = True) -> Taken | None: ...

    def give_back(self, taken: Taken, now_ms: int, *, was_right: bool) -> bool: ...


class SharedCounters:
    """Counters in Redis, which all processes share."""

    def __init__(self) -> None:
        self._take = Script(TAKE)
        self._give_back = Script(GIVE_BACK)

    def take(self, attempt: Attempt, now_ms: int, *, counted: bool = True) -> Taken | None:
        rules = [number for rule in _RULES for number in rule]
        args = (now_ms, KNOWN_MS, FORGOTTEN_MS, DOUBLINGS_MAX, *rules, int(counted))
        answer = self._take.ask(_keys(attempt), attempt.network, *args)
        return None if answer is None else Taken(attempt, int(answer[0]), bool(answer[1]))

    def give_back(self, taken: Taken, now_ms: int, *, was_right: bool) -> bool:
        args = (now_ms, KNOWN_MS, KNOWN_NETWORKS_MAX, int(was_right), 2 if taken.is_known else 4)
        keys = _keys(taken.attempt)
        return self._give_back.ask(keys, taken.attempt.network, *args) is not None


class LocalCounters:
    """Counters in this process, bounded in number, under the same rules."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: OrderedDict[str, tuple[int, int]] = OrderedDict()  # count, last attempt
        self.known: OrderedDict[Attempt, int] = OrderedDict()

    def take(self, attempt: Attempt, now_ms: int, *, counted: bool = True) -> Taken:
        with self._lock:
            is_known = now_ms - self.known.get(attempt, -KNOWN_MS) < KNOWN_MS
            counters = _counters(attempt, is_known)
            waits = [self._wait_ms(key, rule, now_ms) for key, rule in counters]
            if max(waits) == 0 and counted:
                for key, _ in counters:
                    self._put(key, self._count(key, now_ms) + 1, now_ms)
        return Taken(attempt, max(waits), is_known)

    def give_back(self, taken: Taken, now_ms: int, *, was_right: bool) -> bool:
        with self._lock:
            for index, (key, _) in enumerate(_counters(taken.attempt, taken.is_known)):
                count, time_ms = self.counts.get(key, (0, now_ms))
                self._put(key, 0 if was_right and index == 0 else max(0, count - 1), time_ms)
            if was_right:
                self.known.pop(taken.attempt, None)
                self.known[taken.attempt] = now_ms
                while len(self.known) > COUNTERS_MAX:
                    self.known.popitem(last=False)
        return True

    def _count(self, key: str, now_ms: int) -> int:
        count, time_ms = self.counts.get(key, (0, now_ms))
        return count if now_ms - time_ms < FORGOTTEN_MS else 0

    def _wait_ms(self, key: str, rule: Rule, now_ms: int) -> int:
        return wait_ms(rule, self._count(key, now_ms), self.counts.get(key, (0, 0))[1], now_ms)

    def _put(self, key: str, count: int, time_ms: int) -> None:
        self.counts.pop(key, None)
        if count:
            self.counts[key] = (count, time_ms)
        while len(self.counts) > COUNTERS_MAX:
            self.counts.popitem(last=False)


class Throttle:
    """Counts attempts in Redis, or in this process while Redis is away."""

    def __init__(self, shared: Counters, local: Counters, now_ms: Callable[[], int]) -> None:
        self.shared = shared
        self.local = local
        self.now_ms = now_ms

    def take(self, attempt: Attempt) -> Taken:
        """Count an attempt. Raises auth.too_many_attempts for one that has to wait, uncounted."""
        taken = self._verdict(attempt, counted=True)
        if taken.wait_ms > 0:
            raise too_many(taken.wait_s)
        return taken

    def look(self, attempt: Attempt) -> Taken:
        """Return the verdict on an attempt without counting it."""
        return self._verdict(attempt, counted=False)

    def _verdict(self, attempt: Attempt, *, counted: bool) -> Taken:
        now_ms = self.now_ms()
        taken = self.shared.take(attempt, now_ms, counted=counted)
        taken = taken or self.local.take(attempt, now_ms, counted=counted)
        assert taken is not None
        return taken

    def give_back(self, taken: Taken, *, was_right: bool) -> None:
        """Take back the count of an attempt: its password was right, or was not checked."""
        now_ms = self.now_ms()
        if not self.shared.give_back(taken, now_ms, was_right=was_right):
            self.local.give_back(taken, now_ms, was_right=was_right)


def too_many(retry_after_s: int) -> DomainError:
    """Return the refusal auth.too_many_attempts with the wait in seconds."""
    return DomainError(Code.AUTH_TOO_MANY_ATTEMPTS, retry_after_s=retry_after_s)


def _keys(attempt: Attempt) -> tuple[str, str, str, str]:
    account, network = attempt
    begin = f"{PREFIX}:signin"
    pair = f"{begin}:pair:{account}:{network}"
    return f"{begin}:known:{account}", pair, f"{begin}:account:{account}", f"{begin}:net:{network}"


def _counters(attempt: Attempt, is_known: bool) -> list[tuple[str, Rule]]:
    counters = list(zip(_keys(attempt)[1:], _RULES, strict=True))
    return counters[:1] if is_known else counters


throttle: Final = Throttle(SharedCounters(), LocalCounters(), lambda: time.time_ns() // 1_000_000)
