"""Writes to accounts and funds that are not trades: one transaction each."""

from decimal import Decimal
from typing import Any, Final

import psycopg
from django.db import connection as django_connection
from django.db import transaction

from exchange.access.security_events import event_record
from exchange.domain.enums import AccountKind, EntryKind, SecurityKind
from exchange.domain.units import decimal_to_atoms
from exchange.infra.database import process_ids
from exchange.models import Asset, User
from wallets.entries import entries_write
from wallets.locks import balances_apply, balances_create_missing
from wallets.models import Account
from wallets.postings import BalanceChange, Posting, deposit_postings

KEY_LENGTH_MAX: Final = 120


class JournalKeyConflict(Exception):
    """The idempotency key was used before for other postings."""


def account_open(*, user_id: int) -> Account:
    """Return the user's account; the first call creates it."""
    account, _ = Account.objects.get_or_create(user_id=user_id, defaults={"kind": AccountKind.USER})
    return account


@transaction.atomic
def user_create(
    username: str, *, password: str | None = None, is_superuser: bool = False, **fields: Any
) -> User:
    """Create a user with a trading account; every path that creates a user calls this."""
    make = User.objects.create_superuser if is_superuser else User.objects.create_user
    user: User = make(username, password=password, **fields)
    user_opened(user.pk)
    return user


@transaction.atomic
def user_opened(user_id: int) -> None:
    """Open the new user's trading account and record that the user was created."""
    account_open(user_id=user_id)
    event_record(SecurityKind.USER_MADE, subject_id=user_id)


_OPEN_MISSING: Final = """
INSERT INTO wallets_account (kind, user_id, created_at)
SELECT 'user', person.id, now() FROM exchange_user AS person
WHERE NOT EXISTS (SELECT FROM wallets_account WHERE user_id = person.id)
ON CONFLICT DO NOTHING
"""


def accounts_open_missing() -> int:
    """Open an account for every user without one; return the number of new accounts."""
    with django_connection.cursor() as cursor:
        cursor.execute(_OPEN_MISSING)
        return int(cursor.rowcount)


def funds_deposit(*, account_id: int, asset_id: int, amount: Decimal, key: str) -> bool:
    """Credit an account from the external account; return whether this call posted it (L7).

    `amount` is in units of the asset. A repeated call changes nothing and returns False. Raises
    JournalKeyConflict when the key was used for other postings, NotExact when `amount` has more
    decimal places than the asset.
    """
    assert amount > 0
    atoms, scale = _atoms(asset_id, amount)
    postings = deposit_postings(
        account_id=account_id, external_id=_external_id(), asset_id=asset_id, atoms=atoms
    )
    return journal_post(kind=EntryKind.DEPOSIT, key=key, postings=postings, scale=scale)


@transaction.atomic
def journal_post(*, kind: EntryKind, key: str, postings: list[Posting], scale: int) -> bool:
    """Post one journal of one asset: its row, its entries, the balances.

    Returns False when the same journal was posted before. `scale` is the asset's number of decimal
    places. Raises JournalKeyConflict when the key's journal has other postings.
    """
    assert 0 < len(key) <= KEY_LENGTH_MAX
    assert len({posting.asset_id for posting in postings}) == 1
    raw: psycopg.Connection = django_connection.connection
    journal_id = process_ids().next_id()
    inserted = raw.execute(
        "INSERT INTO wallets_journal (id, kind, key, created_at) VALUES (%s, %s, %s, now())"
        " ON CONFLICT (key) DO NOTHING RETURNING id",
        (journal_id, kind.value, key),
    ).fetchone()
    if inserted is None:
        _assert_same_journal(raw, key, postings, scale)
        return False
    asset_id = postings[0].asset_id
    scales = {asset_id: scale}
    changes = {
        (posting.account_id, asset_id): BalanceChange(posting.atoms, 0) for posting in postings
    }
    assert len(changes) == len(postings)
    balances_create_missing(raw, changes.keys())
    entries_write(raw, [(journal_id, postings)], scales)
    balances_apply(raw, changes, scales)
    return True


def _assert_same_journal(
    raw: psycopg.Connection, key: str, postings: list[Posting], scale: int
) -> None:
    # Entries get their ids right after their journal's id: the range limits the partitions read.
    found = raw.execute(
        """
        SELECT entry.account_id, entry.asset_id, entry.amount, entry.kind
        FROM wallets_journal journal JOIN wallets_entry entry
            ON entry.journal_id = journal.id
            AND entry.id BETWEEN journal.id AND journal.id + (600000::bigint << 22)
        WHERE journal.key = %s
        """,
        (key,),
    ).fetchall()
    known = {
        (account_id, asset_id, decimal_to_atoms(amount, scale), kind)
        for account_id, asset_id, amount, kind in found
    }
    if known != {tuple(posting) for posting in postings}:
        raise JournalKeyConflict(key)


def _atoms(asset_id: int, amount: Decimal) -> tuple[int, int]:
    scale = Asset.objects.values_list("scale", flat=True).get(pk=asset_id)
    return decimal_to_atoms(amount, scale), scale


def _external_id() -> int:
    return Account.objects.values_list("pk", flat=True).get(kind=AccountKind.EXTERNAL)
