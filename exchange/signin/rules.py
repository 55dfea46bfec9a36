"""The wait before the next attempt to sign in: a delay that grows, never a lock. Pure.

Three counters count an attempt: of the pair of account and network, of the account, and of the
network. The pair's counter delays every attempt. The other two delay only attempts from a network
that never signed in to the account. So neither wrong names from one address nor attempts from many
addresses lock an account's owner out.
"""

import hashlib
import unicodedata
from typing import Final, NamedTuple

from exchange.infra.http.address import network_of

FORGOTTEN_MS: Final = 60 * 60 * 1000  # a counter's life after its last attempt
KNOWN_MS: Final = 30 * 24 * 60 * 60 * 1000  # a network's life after the last sign-in from it
KNOWN_NETWORKS_MAX: Final = 20  # of an account; the oldest is forgotten
DOUBLINGS_MAX: Final = 20
NAME_CHARS_MAX: Final = 150


class Rule(NamedTuple):
    """`free` attempts do not wait; the next waits `first_ms`, each later one twice as long."""

    free: int
    first_ms: int
    most_ms: int  # the longest wait


PAIR: Final = Rule(free=5, first_ms=5_000, most_ms=15 * 60 * 1000)
ACCOUNT: Final = Rule(free=20, first_ms=5_000, most_ms=60_000)
NETWORK: Final = Rule(free=40, first_ms=1_000, most_ms=60_000)


class Attempt(NamedTuple):
    """The account that is tried, as a hash of its name, and the client's network."""

    account: str
    network: str


def attempt_of(name: str, address: str) -> Attempt:
    """Return the attempt to sign in under a name; all spellings of a name are one account."""
    spelled = unicodedata.normalize("NFKC", name[: 2 * NAME_CHARS_MAX]).strip().casefold()
    plain = unicodedata.normalize("NFKC", spelled)[:NAME_CHARS_MAX]
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return Attempt(digest[:32], network_of(address))


def wait_ms(rule: Rule, count: int, last_ms: int, now_ms: int) -> int:
    """Return how long the next attempt has to wait after `count` of them; 0: not at all."""
    if count < rule.free:
        return 0
    doublings = min(count - rule.free, DOUBLINGS_MAX)
    delay_ms = min(rule.most_ms, rule.first_ms << doublings)
    return max(0, last_ms + delay_ms - now_ms)
