"""A refused order has no row: a counter by code, and a line in the log with who and why.

The lines are bounded, for an account and for the process, so that nobody who is refused a thousand
times a second fills a disk or drowns the refusals of others. What is left out is counted.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter

from exchange.access.principals import Principal
from exchange.domain.errors import DomainError
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.metrics import ORDERS_REFUSED

LINES_OF_ACCOUNT: Final = Rate(per_second=2, burst=20)
LINES_OF_ALL: Final = Rate(per_second=50, burst=200)
SYMBOL_SHOWN_MAX: Final = 25
ALL: Final = "all"

UNTOLD: Final = Counter(
    "takas_refusals_untold", "Refused orders without a line in the log: there were too many"
)

log = structlog.get_logger(__name__)


def _buckets_make() -> LocalBuckets:
    return LocalBuckets(lambda: time.monotonic_ns() // 1_000_000)


_buckets = _buckets_make()


def lines_forget() -> None:
    """Let every account have its lines again (between tests)."""
    global _buckets
    _buckets = _buckets_make()


@dataclass(slots=True)
class Wish:
    """What is known of a request by the time it is refused."""

    symbol: str | None = None
    order_id: int | None = None


@contextmanager
def refusals_told(principal: Principal, what: str) -> Iterator[Wish]:
    """Put a refusal inside the block on record; `what` is order, order_list or amend."""
    wish = Wish()
    try:
        yield wish
    except DomainError as error:
        if what != "amend":
            ORDERS_REFUSED.labels(error.code.value).inc()
        _tell(principal, what, wish, error)
        raise


def _tell(principal: Principal, what: str, wish: Wish, error: DomainError) -> None:
    account = f"account:{principal.account_id}:{principal.user_id}"
    is_over = _buckets.take(account, LINES_OF_ACCOUNT, 1).wait_ms > 0
    if is_over or _buckets.take(ALL, LINES_OF_ALL, 1).wait_ms > 0:
        UNTOLD.inc()
    else:
        log.info(
            "order.refused",
            what=what,
            code=error.code.value,
            field=error.field,
            user_id=principal.user_id,
            account_id=principal.account_id,
            key_id=principal.key_id,
            symbol=None if wish.symbol is None else wish.symbol[:SYMBOL_SHOWN_MAX],
            order_id=wish.order_id,
        )
