"""Reference data by name, for tests that only need a symbol to exist."""

from decimal import Decimal
from typing import Any

from exchange.models import Asset, Symbol, User
from wallets.models import Account

SCALES = {"USDT": 6}


def asset_make(code: str) -> Asset:
    defaults = {"name": code.title(), "scale": SCALES.get(code, 8)}
    return Asset.objects.get_or_create(code=code, defaults=defaults)[0]


def symbol_make(code: str, **changes: Any) -> Symbol:
    """A listed symbol: tick 0.01, lot 0.0001; `changes` override any column."""
    base, _, quote = code.partition("-")
    values = {
        "code": code,
        "base": asset_make(base),
        "quote": asset_make(quote),
        "tick": Decimal("0.01"),
        "lot": Decimal("0.0001"),
        "quantity_min": Decimal("0.0001"),
        "quantity_max": Decimal(1_000),
        "notional_min": Decimal(1),
        "price_min": Decimal("0.01"),
        "price_max": Decimal(1_000_000),
    }
    return Symbol.objects.create(**{**values, **changes})


def accounts_at(*account_ids: int) -> None:
    """Accounts under these very ids, for rows that a test writes by hand."""
    known = set(Account.objects.filter(pk__in=account_ids).values_list("pk", flat=True))
    for account_id in sorted(set(account_ids) - known):
        user = User.objects.create(username=f"holder-{account_id}")
        Account.objects.create(pk=account_id, kind="user", user=user)
