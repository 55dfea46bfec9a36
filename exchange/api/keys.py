"""Who asks: a signed API key, or the session of a page. The rest of the API sees a Principal.

A signature is the hex HMAC-SHA256 over timestamp, method, path with query and the hash of the
body, one a line (string_to_sign). Keys are
kept in this process for PRINCIPAL_AGE_MAX_S: a revoked key or a suspension takes that long at
most.
"""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from django.http import HttpRequest

from exchange.api.errors import DATABASE_AWAY
from exchange.api.requests import body_of
from exchange.api.secrets import secret_decrypt, secret_encrypt
from exchange.api.throttling import Ticket, guard
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SelfTradePrevention
from exchange.domain.errors import DomainError
from exchange.models import ApiKey, Tier, User

T = TypeVar("T")

PRINCIPAL_AGE_MAX_S: Final = 2.0
PRINCIPALS_MAX: Final = 20_000
WINDOW_DEFAULT_MS: Final = 5_000
WINDOW_MAX_MS: Final = 60_000
FUTURE_MAX_MS: Final = 1_000
LAST_USED_SAMPLE: Final = timedelta(minutes=1)
ORDERS_PER_SECOND: Final = 10  # without a tier
KEY_PREFIX: Final = "tk_"
LABEL_MAX: Final = 60

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,40}", re.ASCII).fullmatch
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII).fullmatch
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch
_ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a request is made, and what it may do. `key_id` is None for a session.

    `self_trade` is the mode of this user's orders that name none.
    """

    user_id: int
    account_id: int  # 0: this user has no account, as staff may not
    tier_id: int | None
    orders_per_second: int  # 0: no limit
    may_self_trade: bool
    is_suspended: bool
    scopes: frozenset[Scope]
    key_id: str | None
    key_number: int  # the key's primary key, which its orders carry; 0 for a session
    group_id: int  # users of one group count as one for self-trade prevention; 0: none
    self_trade: SelfTradePrevention


@dataclass(slots=True)
class _Kept:
    """A key or user as it was read, and until when that counts."""

    principal: Principal
    secret: bytes
    expires_at: datetime | None
    good_until: float
    last_used_due: bool


class _Cache:
    """Bounded and short-lived; keyed by API key id or by user id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str | int, _Kept] = {}

    def get(self, key: str | int) -> _Kept | None:
        kept = self._kept.get(key)
        return kept if kept is not None and kept.good_until > time.monotonic() else None

    def put(self, key: str | int, kept: _Kept) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = kept
            while len(self._kept) > PRINCIPALS_MAX:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


_cache: Final = _Cache()


def principals_forget() -> None:
    """Read keys and users afresh (after a change in this process, and between tests)."""
    _cache.clear()


def authenticate(request: HttpRequest, scope: Scope, *, counts_as_order: bool = False) -> Principal:
    """The Principal of a request that has this scope; raises the auth refusals of the contract.

    `counts_as_order` also takes from the tier's order rate. A session was checked against CSRF
    by the middleware before any view ran.
    """
    key_id = request.META.get("HTTP_X_TAKAS_KEY")
    signature = ""
    if key_id is not None:
        principal, signature = _signed(request, key_id)
    else:
        principal = _of_session(request)
    if scope not in principal.scopes:
        raise DomainError(Code.AUTH_SCOPE_MISSING, scope=scope.value)
    rate = principal.orders_per_second if counts_as_order else 0
    guard.check(Ticket(signature, f"orders:{principal.user_id}", rate))
    if scope is Scope.TRADE and principal.is_suspended:
        raise DomainError(Code.ACCOUNT_SUSPENDED)
    return principal


def string_to_sign(timestamp: str, method: str, path: str, body: bytes) -> bytes:
    """What a client signs; `path` includes the query."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{timestamp}\n{method}\n{path}\n{digest}".encode()


def verify(
    *,
    key_id: str,
    timestamp: str,
    signature: str,
    method: str,
    path: str,
    body: bytes,
    window: str = "",
) -> Principal:
    """The Principal of a signature that was never used before; raises the auth refusals.

    For requests that are not HTTP, such as the feed's login.
    """
    signed = string_to_sign(timestamp, method, path, body)
    principal = _signature_check(key_id, timestamp, window, signature, signed)
    guard.check(Ticket(signature, "", 0))
    return principal


def _signature_check(
    key_id: str, timestamp: str, window: str, signature: str, signed: bytes
) -> Principal:
    if not _KEY(key_id):
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    _timestamp_check(timestamp, window)
    kept = _cache.get(key_id) or _reading(_key_read, key_id)
    expected = hmac.digest(kept.secret, signed, "sha256").hex()
    if not _SIGNATURE(signature) or not hmac.compare_digest(expected, signature):
        raise DomainError(Code.AUTH_SIGNATURE_INVALID)
    if kept.expires_at is not None and kept.expires_at <= datetime.now(UTC):
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    if kept.last_used_due:
        kept.last_used_due = False
        ApiKey.objects.filter(key_id=key_id).update(last_used_at=datetime.now(UTC))
    return kept.principal


def _signed(request: HttpRequest, key_id: str) -> tuple[Principal, str]:
    meta = request.META
    timestamp = meta.get("HTTP_X_TAKAS_TIMESTAMP", "")
    signature = meta.get("HTTP_X_TAKAS_SIGNATURE", "")
    query = meta.get("QUERY_STRING", "")
    path = f"{request.path}?{query}" if query else request.path
    signed = string_to_sign(timestamp, request.method or "", path, body_of(request))
    window = meta.get("HTTP_X_TAKAS_WINDOW", "")
    return _signature_check(key_id, timestamp, window, signature, signed), signature


def _timestamp_check(timestamp: str, window: str) -> None:
    server_ms = time.time_ns() // 1_000_000
    window_ms = WINDOW_DEFAULT_MS
    if window:
        # One that is no number admits nothing, not even a request of this very millisecond.
        window_ms = min(int(window), WINDOW_MAX_MS) if _NUMBER(window) else -FUTURE_MAX_MS - 1
    if not _NUMBER(timestamp) or not -FUTURE_MAX_MS <= server_ms - int(timestamp) <= window_ms:
        raise DomainError(
            Code.AUTH_TIMESTAMP_OUTSIDE_WINDOW, window_ms=max(0, window_ms), server_ms=server_ms
        )


def _of_session(request: HttpRequest) -> Principal:
    # Requests without cookies take a way without session middleware: then there is no user.
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise DomainError(Code.AUTH_REQUIRED)
    kept = _cache.get(user.pk) or _reading(_user_read, user.pk)
    return kept.principal


_USER_COLUMNS: Final = (
    "is_active",
    "is_suspended",
    "tier_id",
    "account__id",
    "group_id",
    "self_trade_prevention",
)


def _reading(read: Callable[[T], _Kept], key: T) -> _Kept:
    """Read who this is; without Postgres nothing can have been taken yet, and that is said."""
    try:
        return read(key)
    except DATABASE_AWAY as error:
        raise DomainError(Code.ENGINE_UNAVAILABLE) from error


def _key_read(key_id: str) -> _Kept:
    columns = [f"user__{name}" for name in _USER_COLUMNS]
    row = (
        ApiKey.objects.filter(key_id=key_id, revoked_at=None, user__is_active=True)
        .values(
            "id", "secret_encrypted", "can_read", "can_trade", "expires_at", "last_used_at",
            "user_id", *columns,
        )
        .first()
    )  # fmt: skip
    if row is None:
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    scopes = {Scope.READ: row["can_read"], Scope.TRADE: row["can_trade"]}
    last_used = row["last_used_at"]
    kept = _Kept(
        principal=_principal(
            {name: row[f"user__{name}"] for name in _USER_COLUMNS},
            user_id=row["user_id"],
            scopes=frozenset(scope for scope, has in scopes.items() if has),
            key_id=key_id,
            key_number=row["id"],
        ),
        secret=secret_decrypt(row["secret_encrypted"]),
        expires_at=row["expires_at"],
        good_until=time.monotonic() + PRINCIPAL_AGE_MAX_S,
        last_used_due=last_used is None or datetime.now(UTC) - last_used > LAST_USED_SAMPLE,
    )
    _cache.put(key_id, kept)
    return kept


def _user_read(user_id: int) -> _Kept:
    row = User.objects.filter(pk=user_id, is_active=True).values(*_USER_COLUMNS).first()
    if row is None:
        raise DomainError(Code.AUTH_REQUIRED)
    kept = _Kept(
        principal=_principal(row, user_id=user_id, scopes=_ALL_SCOPES, key_id=None, key_number=0),
        secret=b"",
        expires_at=None,
        good_until=time.monotonic() + PRINCIPAL_AGE_MAX_S,
        last_used_due=False,
    )
    _cache.put(user_id, kept)
    return kept


def _principal(
    row: dict[str, Any],
    *,
    user_id: int,
    scopes: frozenset[Scope],
    key_id: str | None,
    key_number: int,
) -> Principal:
    tiers = (
        Tier.objects.filter(pk=row["tier_id"])
        if row["tier_id"]
        else Tier.objects.filter(is_default=True)
    )
    tier = tiers.first()
    may_self_trade = tier.may_self_trade if tier else False
    self_trade = SelfTradePrevention(row["self_trade_prevention"])
    if self_trade is SelfTradePrevention.NONE and not may_self_trade:
        # A setting alone gives no leave; refusing every order for it would help nobody.
        self_trade = SelfTradePrevention.CANCEL_INCOMING
    return Principal(
        user_id=user_id,
        account_id=row["account__id"] or 0,
        tier_id=tier.pk if tier else None,
        orders_per_second=tier.orders_per_second if tier else ORDERS_PER_SECOND,
        may_self_trade=may_self_trade,
        is_suspended=row["is_suspended"],
        scopes=scopes,
        key_id=key_id,
        key_number=key_number,
        group_id=row["group_id"] or 0,
        self_trade=self_trade,
    )


def api_key_create(*, user_id: int, label: str, can_trade: bool) -> tuple[ApiKey, str]:
    """Make a key that may read and perhaps trade; return it and its secret, shown this once."""
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        key_id=f"{KEY_PREFIX}{secrets.token_urlsafe(16)}",
        user_id=user_id,
        label=label[:LABEL_MAX],
        secret_encrypted=secret_encrypt(secret),
        can_read=True,
        can_trade=can_trade,
    )
    return key, secret


def api_key_revoke(*, user_id: int, key_id: str) -> None:
    """End a key of this user at once here, elsewhere within PRINCIPAL_AGE_MAX_S.

    Raises request.not_found for a key that is not this user's.
    """
    keys = ApiKey.objects.filter(user_id=user_id, key_id=key_id)
    if not _KEY(key_id) or not keys.exists():  # what cannot be a key is never asked for
        raise DomainError(Code.REQUEST_NOT_FOUND)
    keys.filter(revoked_at=None).update(revoked_at=datetime.now(UTC))
    principals_forget()
