"""What every request of the API weighs, in which bucket: the one place that says so.

A bucket belongs to a user, or to a network where nobody signed. docs/limits.md tells it to clients.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Bucket(StrEnum):
    """What is counted together."""

    ORDERS = "orders"
    CANCELS = "cancels"
    READS = "reads"
    PUBLIC = "public"


class Cost(NamedTuple):
    """Tokens that a request takes. `is_once`: the same signed request is refused a second time."""

    bucket: Bucket
    weight: int
    is_once: bool = False


# By method and name of the address. Placing is idempotent by its client order id, and cancelling
# by itself; only what would do its work again is taken once.
COSTS: Final[dict[tuple[str, str], Cost]] = {
    ("POST", "api-orders"): Cost(Bucket.ORDERS, 1),
    ("GET", "api-orders"): Cost(Bucket.READS, 5),
    ("DELETE", "api-orders"): Cost(Bucket.CANCELS, 5),
    ("GET", "api-order"): Cost(Bucket.READS, 2),
    ("GET", "api-order-fills"): Cost(Bucket.READS, 5),
    ("GET", "api-command"): Cost(Bucket.READS, 1),
    ("PATCH", "api-order"): Cost(Bucket.ORDERS, 1, is_once=True),
    ("DELETE", "api-order"): Cost(Bucket.CANCELS, 1),
    ("POST", "api-order-lists"): Cost(Bucket.ORDERS, 1),  # for each order of the list
    ("GET", "api-order-lists"): Cost(Bucket.READS, 10),
    ("GET", "api-order-list"): Cost(Bucket.READS, 2),
    ("DELETE", "api-order-list"): Cost(Bucket.CANCELS, 3),
    ("POST", "api-cancel-after"): Cost(Bucket.CANCELS, 5, is_once=True),
    ("GET", "api-prevented-matches"): Cost(Bucket.READS, 5),
    ("GET", "api-balances"): Cost(Bucket.READS, 2),
    ("GET", "api-keys"): Cost(Bucket.READS, 2),
    ("POST", "api-keys"): Cost(Bucket.READS, 20, is_once=True),
    ("DELETE", "api-key"): Cost(Bucket.READS, 2),
    ("GET", "api-symbols"): Cost(Bucket.PUBLIC, 2),
    ("GET", "api-time"): Cost(Bucket.PUBLIC, 1),
    ("GET", "api-depth"): Cost(Bucket.PUBLIC, 2),
    ("GET", "api-trades"): Cost(Bucket.PUBLIC, 5),
}
# A method that an address does not take, and whatever is no address: refused, but not for nothing.
NOTHING_THERE: Final = Cost(Bucket.PUBLIC, 1)


def cost_of(method: str, name: str | None) -> Cost:
    """What a request takes."""
    known = COSTS.get(("GET" if method == "HEAD" else method, name or ""))
    return known if known is not None else NOTHING_THERE


def weights_check(patterns: Iterable[Any]) -> None:
    """Raise unless every method of every address is in COSTS: called when addresses are read.

    `patterns` are Django's, which this module does not know.
    """
    for pattern in patterns:
        inner = getattr(pattern, "url_patterns", None)
        if inner is not None:
            weights_check(inner)
            continue
        documented = getattr(pattern.callback, "cls", None)
        for method in METHODS:
            if hasattr(documented, method.lower()):
                assert (method, pattern.name) in COSTS, f"{method} {pattern.name} has no weight"
