"""How many open orders an account may have on a symbol: its own limit, or everyone's.

The engine decides in sequence (orders/market_rules.py tells it); this copy only refuses early, and
must not refuse whom staff gave more. Read together and kept for seconds, like the catalogue.
"""

import threading
import time
from typing import Final

from django.db import connection

from exchange.domain.symbol_rules import SymbolRules

LIMITS_AGE_MAX_S: Final = 2.0

_OWN = """
SELECT account.id, own.symbol_id, own.open_orders_max FROM risk_orderlimit AS own
JOIN wallets_account AS account ON account.user_id = own.user_id
"""

Limits = dict[tuple[int, int], int]


class _Kept:
    """The last reading and when it was made. One thread refreshes; the others use what is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limits: Limits | None = None
        self.read_at = 0.0


_kept = _Kept()


def open_orders_max_of(account_id: int, rules: SymbolRules) -> int:
    """Open orders that the account may have here, waiting ones too; 0 is no limit."""
    own = _limits().get((account_id, rules.units.symbol_id))
    return rules.open_orders_max if own is None else own


def order_limits_forget() -> None:
    """Make the next reader read afresh (between tests)."""
    with _kept.lock:
        _kept.limits = None


def _limits() -> Limits:
    kept = _kept
    if kept.limits is not None and time.monotonic() - kept.read_at < LIMITS_AGE_MAX_S:
        return kept.limits
    if not kept.lock.acquire(blocking=kept.limits is None):
        return kept.limits or {}
    try:
        if kept.limits is None or time.monotonic() - kept.read_at >= LIMITS_AGE_MAX_S:
            with connection.cursor() as cursor:
                cursor.execute(_OWN)
                kept.limits = {(row[0], row[1]): row[2] for row in cursor.fetchall()}
            kept.read_at = time.monotonic()
        return kept.limits
    finally:
        kept.lock.release()
