"""Reads of accounts and balances."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import psycopg

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


def account_ids_of(user_ids: Iterable[int]) -> dict[int, int]:
    """Return the user of each account that these users have, by the account's id."""
    found = Account.objects.filter(user_id__in=list(user_ids)).values_list("pk", "user_id")
    return dict(found)


_HOUSE: Final = "SELECT id FROM wallets_account WHERE kind = 'house'"


def house_account_id(connection: psycopg.Connection) -> int:
    """Return the id of the account that gets the fees."""
    row = connection.execute(_HOUSE).fetchone()
    assert row is not None, "the house has an account"
    return int(row[0])


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
