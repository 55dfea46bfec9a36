"""Reads of accounts and balances."""

from dataclasses import dataclass
from decimal import Decimal

from exchange.domain.units import plain
from wallets.models import Account, Balance


@dataclass(frozen=True, slots=True)
class BalanceView:
    """One asset of one account. `sequence` counts the changes of this balance."""

    asset: str
    available: Decimal
    reserved: Decimal
    sequence: int


def account_id_of(user_id: int) -> int | None:
    """Return the id of the user's account, or None before it was opened."""
    return Account.objects.filter(user_id=user_id).values_list("pk", flat=True).first()


def balances_of(account_id: int) -> list[BalanceView]:
    """Return the account's balances by asset code, those at zero included."""
    rows = (
        Balance.objects.filter(account_id=account_id)
        .order_by("asset__code")
        .values_list("asset__code", "available", "reserved", "version")
    )
    return [BalanceView(*row) for row in rows]


def balance_json(view: BalanceView) -> dict[str, str | int]:
    """Return the balance as the API and the feed show it."""
    return {
        "asset": view.asset,
        "available": plain(view.available),
        "reserved": plain(view.reserved),
        "sequence": view.sequence,
    }
