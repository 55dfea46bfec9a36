"""The limit of an account's open orders on a symbol: the account's own limit, or the symbol's.

The engine decides in sequence (orders/markets/rules.py sends it the limits). This copy only refuses
early, and must not refuse an account with a higher limit of its own. All own limits are read at
once and kept for LIMITS_AGE_MAX_S.
"""

from typing import Final

from django.db import connection

from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.copies import Copy
from wallets.fragments import USER_ACCOUNTS

LIMITS_AGE_MAX_S: Final = 2.0

_OWN: Final = f"""
SELECT account.id, own.symbol_id, own.open_orders_max FROM risk_orderlimit AS own
JOIN ({USER_ACCOUNTS}) AS account ON account.user_id = own.user_id
"""  # noqa: S608 - a piece of ours

OpenOrderLimits = dict[tuple[int, int], int]  # by (account id, symbol id)


def open_orders_max_of(account_id: int, rules: SymbolRules) -> int:
    """Return how many open orders, waiting orders included, the account may have; 0: no limit."""
    own = _copy.get().get((account_id, rules.units.symbol_id))
    return rules.open_orders_max if own is None else own


def order_limits_forget() -> None:
    """Forget the kept limits, so that the next call reads them again (between tests)."""
    _copy.forget()


def _read() -> OpenOrderLimits:
    with connection.cursor() as cursor:
        cursor.execute(_OWN)
        return {(row[0], row[1]): row[2] for row in cursor.fetchall()}


_copy: Final = Copy(_read, age_max_s=LIMITS_AGE_MAX_S)
