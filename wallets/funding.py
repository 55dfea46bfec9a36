"""Credits and debits by staff: double entry against the house's funding account, once per key.

The same transaction records each with its reason. The feed publishes the balance after the commit.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

import psycopg
import redis
import structlog
from django.db import transaction

from exchange.access.security_events import event_record
from exchange.domain.codes import Code
from exchange.domain.enums import AccountKind, EntryKind, SecurityKind
from exchange.domain.errors import DomainError
from exchange.domain.units import NotExact, decimal_to_atoms, plain
from exchange.infra.redis import FEED_CHANNEL, redis_client
from exchange.models import Asset
from exchange.realtime.frames import balance_frame, encode_frames
from wallets.models import Account, Balance
from wallets.postings import funding_postings
from wallets.selectors import balances_of
from wallets.services import JournalKeyConflict, account_open, journal_post

AMOUNT_MAX: Final = Decimal(10) ** 15  # far below the limit of NUMERIC(38,18)
REASON_MAX: Final = 200
KEY_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]{8,80}", re.ASCII)
NOT_NEGATIVE: Final = "balance_available_not_negative"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FundsMoved:
    """The available amount after a credit or debit; `is_new` is False for a repeated key."""

    is_new: bool
    available: Decimal


@transaction.atomic
def funds_move(
    *, user_id: int, asset: str, amount: Decimal, reason: str, key: str, actor_id: int | None
) -> FundsMoved:
    """Credit a user, or with a negative amount debit them; a repeated key changes nothing.

    `amount` is in units of the asset. Raises DomainError: funds.asset_unknown,
    funds.amount_invalid, funds.reason_required, request.field_invalid for the key's format,
    funds.insufficient when a debit exceeds the available amount, and funds.key_conflict when the
    key was used for another movement.
    """
    known = Asset.objects.filter(code=asset).first()
    if known is None:
        raise DomainError(Code.FUNDS_ASSET_UNKNOWN, field="asset", asset=asset[:12])
    atoms = _atoms(amount, known)
    reason = reason.strip()
    if not reason or len(reason) > REASON_MAX:
        raise DomainError(Code.FUNDS_REASON_REQUIRED, field="reason", limit=REASON_MAX)
    if not KEY_PATTERN.fullmatch(key):
        raise DomainError(
            Code.REQUEST_FIELD_INVALID,
            field="key",
            rule="8 to 80 characters of A-Z a-z 0-9 . _ : -",
        )
    account_id = account_open(user_id=user_id).pk
    is_new = _post(account_id, known, atoms, key)
    if is_new:
        moved = {"asset": known.code, "amount": plain(amount), "reason": reason}
        event_record(
            SecurityKind.FUNDS_MOVED,
            actor_id=actor_id,
            subject_id=user_id,
            target=f"journal {journal_key(key)}",
            detail=moved,
        )
        transaction.on_commit(partial(_balance_publish, account_id, known.code))
    return FundsMoved(is_new, _available(account_id, known))


def journal_key(key: str) -> str:
    """Return the journal's key; the prefix keeps it apart from the keys of other journals."""
    return f"funding:{key}"


def _atoms(amount: Decimal, asset: Asset) -> int:
    rule = f"a number with at most {asset.scale} decimal places, not 0, up to {AMOUNT_MAX:f}"
    if amount.is_finite() and 0 < abs(amount) <= AMOUNT_MAX:
        try:
            return decimal_to_atoms(amount, asset.scale)
        except NotExact:
            pass
    raise DomainError(Code.FUNDS_AMOUNT_INVALID, field="amount", rule=rule)


def _post(account_id: int, asset: Asset, atoms: int, key: str) -> bool:
    funding_id = Account.objects.values_list("pk", flat=True).get(kind=AccountKind.FUNDING)
    postings = funding_postings(
        account_id=account_id, funding_id=funding_id, asset_id=asset.pk, atoms=atoms
    )
    try:
        with transaction.atomic():
            return journal_post(
                kind=EntryKind.FUNDING,
                key=journal_key(key),
                postings=postings,
                scale=asset.scale,
            )
    except JournalKeyConflict as error:
        raise DomainError(Code.FUNDS_KEY_CONFLICT, field="key") from error
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name != NOT_NEGATIVE:
            raise
        raise DomainError(
            Code.FUNDS_INSUFFICIENT,
            field="amount",
            needed=plain(Decimal(-atoms).scaleb(-asset.scale)),
            asset=asset.code,
            available=plain(_available(account_id, asset)),
        ) from error


def _available(account_id: int, asset: Asset) -> Decimal:
    found = Balance.objects.filter(account_id=account_id, asset=asset)
    return found.values_list("available", flat=True).first() or Decimal(0)


def _balance_publish(account_id: int, asset: str) -> None:
    """Publish the balance; a client that misses the frame sees the next one, or requests it."""
    frames = [
        balance_frame(
            account_id,
            asset=view.asset,
            available=plain(view.available),
            reserved=plain(view.reserved),
            sequence=view.sequence,
        )
        for view in balances_of(account_id)
        if view.asset == asset
    ]
    try:
        with redis_client() as client:
            client.publish(FEED_CHANNEL, encode_frames(frames))
    except redis.RedisError as error:
        log.warning("funding.push_failed", account_id=account_id, error=str(error))
