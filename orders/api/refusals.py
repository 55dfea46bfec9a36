"""The record of refused orders, which have no row: a counter by code, and lines in the log.

The log's lines are bounded for each account and for the process: a client that is refused a
thousand times a second neither fills the disk nor hides the refusals of others. Lines that are left
out are counted.
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
    """Give every account its full allowance of log lines again (between tests)."""
    global _buckets
    _buckets = _buckets_make()


@dataclass(slots=True)
class RefusedRequest:
    """The fields of a request that are known when it is refused."""

    symbol: str | None = None
    order_id: int | None = None


@contextmanager
def refusals_recorded(principal: Principal, what: str) -> Iterator[RefusedRequest]:
    """Count and log a refusal raised inside the block.

    `what` is order, order_list, order_batch or amend.
    """
    summary = RefusedRequest()
    try:
        yield summary
    except DomainError as error:
        refusal_record(principal, what, summary, error)
        raise


def refusal_record(
    principal: Principal, what: str, summary: RefusedRequest, error: DomainError
) -> None:
    """Count and log one refusal."""
    if what != "amend":
        ORDERS_REFUSED.labels(error.code.value).inc()
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
            symbol=None if summary.symbol is None else summary.symbol[:SYMBOL_SHOWN_MAX],
            order_id=summary.order_id,
        )
