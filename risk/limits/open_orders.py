"""How many open orders an account may have on a symbol: its own limit, or everyone's.

The engine decides in sequence (orders/markets/rules.py tells it); this copy only refuses early, and
must not refuse whom staff gave more. Read together and kept for seconds, like the catalogue.
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

OpenOrderLimits = dict[tuple[int, int], int]


def open_orders_max_of(account_id: int, rules: SymbolRules) -> int:
    """Open orders that the account may have here, waiting ones too; 0 is no limit."""
    own = _copy.get().get((account_id, rules.units.symbol_id))
    return rules.open_orders_max if own is None else own


def order_limits_forget() -> None:
    """Make the next reader read afresh (between tests)."""
    _copy.forget()


def _read() -> OpenOrderLimits:
    with connection.cursor() as cursor:
        cursor.execute(_OWN)
        return {(row[0], row[1]): row[2] for row in cursor.fetchall()}


_copy: Final = Copy(_read, age_max_s=LIMITS_AGE_MAX_S)
