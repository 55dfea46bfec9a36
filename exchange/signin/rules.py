"""How long the next attempt has to wait: a delay that grows, never a lock. Pure.

Three counters see an attempt. The pair of account and network holds everybody. Those of the account
and of the network hold only who never signed in to this account from this network: so neither a
crowd of wrong names behind one address nor a crowd of addresses locks an account's owner out.
"""

import hashlib
import unicodedata
from typing import Final, NamedTuple

from exchange.infra.http.address import network_of

FORGOTTEN_MS: Final = 60 * 60 * 1000  # a counter, after the last attempt that it counted
KNOWN_MS: Final = 30 * 24 * 60 * 60 * 1000  # a network that somebody signed in from
KNOWN_NETWORKS_MAX: Final = 20  # an account; the oldest is forgotten
DOUBLINGS_MAX: Final = 20
NAME_CHARS_MAX: Final = 150


class Rule(NamedTuple):
    """So many attempts are free; the next waits `first_ms`, and each one after it twice as long."""

    free: int
    first_ms: int
    most_ms: int


PAIR: Final = Rule(free=5, first_ms=5_000, most_ms=15 * 60 * 1000)
ACCOUNT: Final = Rule(free=20, first_ms=5_000, most_ms=60_000)
NETWORK: Final = Rule(free=40, first_ms=1_000, most_ms=60_000)


class Attempt(NamedTuple):
    """Who tries, and from where: hashes and networks, so that any name makes a bounded key."""

    account: str
    network: str


def attempt_of(name: str, address: str) -> Attempt:
    """The attempt to sign in under a name; spellings of one name are one account."""
    spelled = unicodedata.normalize("NFKC", name[: 2 * NAME_CHARS_MAX]).strip().casefold()
    plain = unicodedata.normalize("NFKC", spelled)[:NAME_CHARS_MAX]
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return Attempt(digest[:32], network_of(address))


def wait_ms(rule: Rule, count: int, last_ms: int, now_ms: int) -> int:
    """How long until the next attempt after `count` of them; 0: none has to wait."""
    if count < rule.free:
        return 0
    doublings = min(count - rule.free, DOUBLINGS_MAX)
    delay_ms = min(rule.most_ms, rule.first_ms << doublings)
    return max(0, last_ms + delay_ms - now_ms)
