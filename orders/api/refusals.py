"""The record of refused orders, which have no row: a counter by code, and lines in the log.

The log's lines are bounded for each account and for the process: a client that is refused a
thousand times a second neither fills the disk nor hides the refusals of others. Lines that are left
out are counted.
"""

import time
from typing import Final, Self

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


class RefusalRecord:
    """Counts and logs the refusal that ends its block.

    `what` is order, order_list, order_batch or amend. `symbol` and `order_id` are set as soon as
    they are known.
    """

    __slots__ = ("order_id", "principal", "symbol", "what")

    def __init__(self, principal: Principal, what: str, symbol: str | None = None) -> None:
        self.principal = principal
        self.what = what
        self.symbol = symbol
        self.order_id: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, DomainError):
            self.write(error)

    def write(self, error: DomainError) -> None:
        """Count and log one refusal."""
        if self.what != "amend":
            ORDERS_REFUSED.labels(error.code.value).inc()
        account = f"account:{self.principal.account_id}:{self.principal.user_id}"
        is_over = _buckets.take(account, LINES_OF_ACCOUNT, 1).wait_ms > 0
        if is_over or _buckets.take(ALL, LINES_OF_ALL, 1).wait_ms > 0:
            UNTOLD.inc()
        else:
            log.info(
                "order.refused",
                what=self.what,
                code=error.code.value,
                field=error.field,
                user_id=self.principal.user_id,
                account_id=self.principal.account_id,
                key_id=self.principal.key_id,
                symbol=self.symbol and self.symbol[:SYMBOL_SHOWN_MAX],
                order_id=self.order_id,
            )
