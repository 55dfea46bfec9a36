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
    """An account's balance of one asset; `sequence` counts the changes of this balance."""

    asset: str
    available: Decimal
    reserved: Decimal
    sequence: int


def account_id_of(user_id: int) -> int | None:
    """Return the id of the user's account, or None when the user has none yet."""
    return Account.objects.filter(user_id=user_id).values_list("pk", flat=True).first()


def account_ids_of(user_ids: Iterable[int]) -> dict[int, int]:
    """Map the id of each account of these users to its user's id; a user may have no account."""
    found = Account.objects.filter(user_id__in=list(user_ids)).values_list("pk", "user_id")
    return dict(found)


HOUSE: Final = "SELECT id FROM wallets_account WHERE kind = 'house'"


def house_account_id(connection: psycopg.Connection) -> int:
    """Return the id of the house account, which receives the fees."""
    row = connection.execute(HOUSE, prepare=True).fetchone()
    assert row is not None, "the house has an account"
    return int(row[0])


def balances_of(account_id: int) -> list[BalanceView]:
    """Return the account's balances in order of asset code, including balances of zero."""
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
