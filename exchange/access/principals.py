"""Principals as read from Postgres: a user by the session of a page, or by an API key.

A process keeps a principal for PRINCIPAL_AGE_MAX_S: a revoked key or a suspension takes effect
within that time. A busy exchange reads every user every two seconds, so the statement for a key
also reads the keys in use that are due soon.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import random
from typing import Any, Final, NamedTuple

from django.conf import settings

from exchange.access.principal_rows import rows_of_keys, rows_of_user
from exchange.access.secrets import secret_decrypt
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SelfTradePrevention
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import threads_only

PRINCIPAL_AGE_MAX_S: Final = 2.0
AGE_SPREAD: Final = 0.5
DUE_AGE_S: Final = 0.5 * PRINCIPAL_AGE_MAX_S  # from this age on, a key in use may be read along
DUE_MAX: Final = 256  # keys looked at, and so read along, by one statement
PRINCIPALS_MAX: Final = 20_000
LAST_USED_SAMPLE: Final = timedelta(minutes=1)
ORDERS_PER_SECOND: Final = 10  # of a user without a tier
CANCELS_PER_ORDER: Final = 5  # where the tier names no rate of its own
UNKNOWN_MAX: Final = 20_000

_ALL_SCOPES: Final = frozenset(Scope)


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
    """A principal as it was read at `read_s`; valid until `good_until` (both by time.monotonic)."""

    principal: Principal
    secret: bytes  # the key's; empty for a session
    expires_at: datetime | None
    read_s: float
    good_until: float
    last_used_due: bool
    secret_encrypted: bytes = b""
    is_used: bool = True  # since it was read


class _Cache:
    """Principals by API key id or by user id; bounded, and each valid for a short time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str | int, CachedPrincipal] = {}  # the one that was read first comes first

    def get(self, key: str | int) -> CachedPrincipal | None:
        cached = self._kept.get(key)
        if cached is None or cached.good_until <= time.monotonic():
            return None
        cached.is_used = True
        return cached

    def last(self, key: str) -> CachedPrincipal | None:
        """Return what was read last, valid or not."""
        return self._kept.get(key)

    def put(self, key: str | int, cached: CachedPrincipal) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = cached
            while len(self._kept) > PRINCIPALS_MAX:
                del self._kept[next(iter(self._kept))]

    def drop(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def due(self) -> set[str]:
        """Return ids of API keys that are in use and have to be read again soon, each once.

        Drops what is neither valid nor in use.
        """
        now_s = time.monotonic()
        found = set()
        with self._lock:
            for key, cached in list(islice(self._kept.items(), DUE_MAX)):
                if now_s - cached.read_s < DUE_AGE_S:
                    break
                if isinstance(key, str) and cached.is_used:
                    cached.is_used = False
                    found.add(key)
                elif cached.good_until <= now_s:
                    del self._kept[key]
        return found

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
    threads_only()  # before keys are taken that this call would read along
    found = _keys_read(key_id, _cache.due())
    if key_id not in found:
        _unknown.put(key_id)
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    return found[key_id]


def _keys_read(asked_id: str, due_ids: set[str]) -> dict[str, CachedPrincipal]:
    """Read and keep the principals of these keys; forget keys that are good no more.

    A due key whose secret changed is forgotten too: its next request decrypts the new secret, and
    fails alone where none of our keys opens it.
    """
    read_s = time.monotonic()
    rows = {row["key_id"]: row for row in rows_of_keys({asked_id, *due_ids})}
    found = {}
    for key_id in (*(due_ids - {asked_id}), asked_id):
        row = rows.get(key_id)
        if row is None or (key_id != asked_id and _secret_kept(row) is None):
            _cache.drop(key_id)
        else:
            found[key_id] = _of_key(row, read_s)
            _cache.put(key_id, found[key_id])
    return found


def _secret_kept(row: dict[str, Any]) -> bytes | None:
    """Return the key's secret as it was decrypted before; None where it is new or has changed."""
    last = _cache.last(row["key_id"])
    is_same = last is not None and last.secret_encrypted == bytes(row["secret_encrypted"])
    return last.secret if last is not None and is_same else None


def _of_key(row: dict[str, Any], read_s: float) -> CachedPrincipal:
    scopes = {Scope.READ: row["can_read"], Scope.TRADE: row["can_trade"]}
    last_used, encrypted = row["last_used_at"], bytes(row["secret_encrypted"])
    secret = _secret_kept(row)
    return CachedPrincipal(
        principal=_principal(
            row,
            scopes=frozenset(scope for scope, has in scopes.items() if has),
            key_id=row["key_id"],
            key_number=row["key_number"],
        ),
        secret=secret_decrypt(encrypted) if secret is None else secret,
        expires_at=row["expires_at"],
        read_s=read_s,
        good_until=_good_until(read_s),
        last_used_due=last_used is None or datetime.now(UTC) - last_used > LAST_USED_SAMPLE,
        secret_encrypted=encrypted,
        is_used=False,
    )


def principal_of_user(user_id: int) -> CachedPrincipal:
    """Return the principal of a signed-in user. Raises auth.required, or engine.unavailable."""
    cached = _cache.get(user_id)
    if cached is not None:
        return cached
    read_s = time.monotonic()
    rows = rows_of_user(user_id)
    if not rows:
        raise DomainError(Code.AUTH_REQUIRED)
    cached = CachedPrincipal(
        principal=_principal(rows[0], scopes=_ALL_SCOPES, key_id=None, key_number=0),
        secret=b"",
        expires_at=None,
        read_s=read_s,
        good_until=_good_until(read_s),
        last_used_due=False,
    )
    _cache.put(user_id, cached)
    return cached


def _good_until(read_s: float) -> float:
    """Spread the expiry, so that keys first used together are not read again together."""
    return read_s + PRINCIPAL_AGE_MAX_S * (1 - AGE_SPREAD * random())  # noqa: S311


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
