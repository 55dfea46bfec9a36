"""Principals as read from Postgres: a user by the session of a page, or by an API key.

A process keeps a principal for PRINCIPAL_AGE_MAX_S: a revoked key or a suspension takes effect
within that time. One handwritten statement reads a principal. The ORM's two statements took 1.4 ms
of the processor, a tenth of the web process, as a busy exchange reads every user every two seconds.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import random
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection

from exchange.access.secrets import secret_decrypt
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SelfTradePrevention
from exchange.domain.errors import DomainError
from exchange.infra.database import DATABASE_AWAY

PRINCIPAL_AGE_MAX_S: Final = 2.0
AGE_SPREAD: Final = 0.5
PRINCIPALS_MAX: Final = 20_000
LAST_USED_SAMPLE: Final = timedelta(minutes=1)
ORDERS_PER_SECOND: Final = 10  # of a user without a tier
CANCELS_PER_ORDER: Final = 5  # where the tier names no rate of its own
UNKNOWN_MAX: Final = 20_000

_ALL_SCOPES: Final = frozenset(Scope)
_USER: Final = """
    person.id AS user_id, person.is_suspended, person.group_id, person.self_trade_prevention,
    account.id AS account_id, tier.id AS tier_id, tier.orders_per_second,
    tier.cancels_per_second, tier.reads_per_second, tier.may_self_trade"""
_FROM: Final = """
FROM exchange_user AS person
LEFT JOIN (%(accounts)s) AS account ON account.user_id = person.id
LEFT JOIN exchange_tier AS tier
    ON tier.id = COALESCE(person.tier_id, (SELECT id FROM exchange_tier WHERE is_default))
"""
_OF_USER: Final = f"SELECT {_USER} {_FROM} WHERE person.id = %%s AND person.is_active"
_OF_KEY: Final = f"""
SELECT {_USER}, key.id AS key_number, key.secret_encrypted, key.can_read, key.can_trade,
    key.expires_at, key.last_used_at
{_FROM} JOIN exchange_apikey AS key ON key.user_id = person.id
WHERE key.key_id = %%s AND key.revoked_at IS NULL AND person.is_active
"""


class RateLimits(NamedTuple):
    """Rate limits of one user in tokens a second; 0 means no limit."""

    orders: int
    cancels: int
    reads: int


@dataclass(frozen=True, slots=True)
class Principal:
    """The user on whose behalf a request is made, and the rights that the request has.

    `key_id` is None for a session. `self_trade` is the mode of orders that name none.
    """

    user_id: int
    account_id: int  # 0: the user has no account, as is usual for staff
    tier_id: int | None
    limits: RateLimits
    may_self_trade: bool
    is_suspended: bool
    scopes: frozenset[Scope]
    key_id: str | None
    key_number: int  # the key's primary key, which its orders carry; 0 for a session
    group_id: int  # users of one group count as one for self-trade prevention; 0: none
    self_trade: SelfTradePrevention


@dataclass(slots=True)
class CachedPrincipal:
    """A principal as it was read; valid until `good_until` (by time.monotonic)."""

    principal: Principal
    secret: bytes  # the key's; empty for a session
    expires_at: datetime | None
    good_until: float
    last_used_due: bool


class _Cache:
    """Principals by API key id or by user id; bounded, and each valid for a short time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str | int, CachedPrincipal] = {}

    def get(self, key: str | int) -> CachedPrincipal | None:
        cached = self._kept.get(key)
        return cached if cached is not None and cached.good_until > time.monotonic() else None

    def put(self, key: str | int, cached: CachedPrincipal) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = cached
            while len(self._kept) > PRINCIPALS_MAX:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


class _Unknown:
    """Key ids that do not exist, kept as long as principals: a repeated id costs no statement."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def has(self, key: str) -> bool:
        return self._until.get(key, 0.0) > time.monotonic()

    def put(self, key: str) -> None:
        with self._lock:
            self._until.pop(key, None)
            self._until[key] = time.monotonic() + PRINCIPAL_AGE_MAX_S
            while len(self._until) > UNKNOWN_MAX:
                del self._until[next(iter(self._until))]

    def clear(self) -> None:
        with self._lock:
            self._until.clear()


@dataclass(slots=True)
class _Statements:
    """The SQL that reads a user or a key; empty before `accounts_found_in` was called."""

    of_user: str = ""
    of_key: str = ""


_statements: Final = _Statements()


def accounts_found_in(source: str) -> None:
    """Set the source of accounts: a SELECT of their `id` and `user_id`.

    Accounts belong to an app that this app may not import. The other app calls this function once,
    when it starts; no principal can be read before.
    """
    _statements.of_user = _OF_USER % {"accounts": source}
    _statements.of_key = _OF_KEY % {"accounts": source}


_cache: Final = _Cache()
_unknown: Final = _Unknown()


def principals_forget() -> None:
    """Forget all principals (after a change in this process, and between tests)."""
    _cache.clear()
    _unknown.clear()


def principal_of_key(key_id: str) -> CachedPrincipal:
    """Return the principal of a key. Raises auth.key_unknown, or engine.unavailable."""
    cached = _cache.get(key_id)
    if cached is not None:
        return cached
    if _unknown.has(key_id):
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    row = _row(_statements.of_key, key_id)
    if row is None:
        _unknown.put(key_id)
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    scopes = {Scope.READ: row["can_read"], Scope.TRADE: row["can_trade"]}
    last_used = row["last_used_at"]
    return _keep(
        key_id,
        CachedPrincipal(
            principal=_principal(
                row,
                scopes=frozenset(scope for scope, has in scopes.items() if has),
                key_id=key_id,
                key_number=row["key_number"],
            ),
            secret=secret_decrypt(row["secret_encrypted"]),
            expires_at=row["expires_at"],
            good_until=_good_until(),
            last_used_due=last_used is None or datetime.now(UTC) - last_used > LAST_USED_SAMPLE,
        ),
    )


def principal_of_user(user_id: int) -> CachedPrincipal:
    """Return the principal of a signed-in user. Raises auth.required, or engine.unavailable."""
    cached = _cache.get(user_id)
    if cached is not None:
        return cached
    row = _row(_statements.of_user, user_id)
    if row is None:
        raise DomainError(Code.AUTH_REQUIRED)
    return _keep(
        user_id,
        CachedPrincipal(
            principal=_principal(row, scopes=_ALL_SCOPES, key_id=None, key_number=0),
            secret=b"",
            expires_at=None,
            good_until=_good_until(),
            last_used_due=False,
        ),
    )


def _good_until() -> float:
    """Spread the expiry, so that keys first used together are not read again together."""
    return time.monotonic() + PRINCIPAL_AGE_MAX_S * (1 - AGE_SPREAD * random())  # noqa: S311


def _keep(key: str | int, cached: CachedPrincipal) -> CachedPrincipal:
    _cache.put(key, cached)
    return cached


def _row(statement: str, key: str | int) -> dict[str, Any] | None:
    """Return the row as a dict, or None. Raises engine.unavailable while Postgres is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, [key])
            values, columns = cursor.fetchone(), cursor.description
    except DATABASE_AWAY as error:
        raise DomainError(Code.ENGINE_UNAVAILABLE) from error
    if values is None:
        return None
    return {column.name: value for column, value in zip(columns, values, strict=True)}


def _limits(row: dict[str, Any]) -> RateLimits:
    """Return a tier's rates. Rates left empty have no limit where orders have none."""
    orders = row["orders_per_second"]
    cancels, reads = row.get("cancels_per_second"), row.get("reads_per_second")
    return RateLimits(
        orders=orders,
        cancels=orders * CANCELS_PER_ORDER if cancels is None else cancels,
        reads=(settings.READ_WEIGHT_PER_SECOND if orders else 0) if reads is None else reads,
    )


def _principal(
    row: dict[str, Any], *, scopes: frozenset[Scope], key_id: str | None, key_number: int
) -> Principal:
    has_tier = row["tier_id"] is not None
    may_self_trade = has_tier and row["may_self_trade"]
    self_trade = SelfTradePrevention(row["self_trade_prevention"])
    if self_trade is SelfTradePrevention.NONE and not may_self_trade:
        # The setting needs the tier's permission; refusing every order without it helps nobody.
        self_trade = SelfTradePrevention.CANCEL_INCOMING
    return Principal(
        user_id=row["user_id"],
        account_id=row["account_id"] or 0,
        tier_id=row["tier_id"],
        limits=_limits(row) if has_tier else _limits({"orders_per_second": ORDERS_PER_SECOND}),
        may_self_trade=may_self_trade,
        is_suspended=row["is_suspended"],
        scopes=scopes,
        key_id=key_id,
        key_number=key_number,
        group_id=row["group_id"] or 0,
        self_trade=self_trade,
    )
