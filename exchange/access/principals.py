"""Principals as read from Postgres: a user by the session of a page, or by an API key.

A process keeps a principal for minutes, and uses it only where it knows of no later change
(exchange/access/principal_changes.py): a revoked key or a suspension takes effect within
PRINCIPAL_AGE_MAX_S. Keys that are not in memory are read together, those of a moment by one
statement.
"""

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from random import random
from typing import Any, Final, NamedTuple

from django.conf import settings

from exchange.access.principal_changes import (
    PRINCIPAL_AGE_MAX_S,
    PRINCIPAL_KEPT_S,
    principal_changes,
)
from exchange.access.principal_rows import keys_use, rows_of_keys, rows_of_user
from exchange.access.secrets import SecretUnreadable, secret_decrypt
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SelfTradePrevention
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import threads_only
from exchange.infra.gatherer import Gatherer
from exchange.infra.metrics import WEB_KEY_LOOKUPS, WEB_KEY_USES

AGE_SPREAD: Final = 0.5
PRINCIPALS_MAX: Final = 20_000  # kept; the one that was read first goes first
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
    use_due_s: float = inf  # from then on a use of the key is to be written down

    @property
    def is_use_due(self) -> bool:
        return time.monotonic() >= self.use_due_s


class _Cache:
    """Principals by API key id or by user id; bounded, and each valid for a bounded time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str | int, CachedPrincipal] = {}  # the one that was read first comes first

    def get(self, key: str | int) -> CachedPrincipal | None:
        """Return the principal where it is known that nothing of it has changed.

        Raises engine.unavailable where that cannot be known.
        """
        cached = self._kept.get(key)
        if cached is None or cached.good_until <= time.monotonic():
            return None
        if not principal_changes().spare(cached.principal.user_id, cached.read_s):
            return None
        return cached

    def put(self, key: str | int, cached: CachedPrincipal) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = cached
            while len(self._kept) > PRINCIPALS_MAX:
                del self._kept[next(iter(self._kept))]

    def drop(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


class _Unknown:
    """Key ids that do not exist, kept for PRINCIPAL_AGE_MAX_S: a repeated id costs no statement."""

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
    """Return the principal of a key. Raises auth.key_unknown, or engine.unavailable.

    On an event loop SynchronousOnlyOperation, where it has to be read (`key_look_up`).
    """
    cached = _cache.get(key_id)
    if cached is not None:
        return cached
    if _unknown.has(key_id):
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    threads_only()
    found = _keys_read([key_id])[key_id]
    if isinstance(found, Exception):
        raise found
    return found


async def key_look_up(key_id: str, *, is_proven: bool) -> CachedPrincipal | DomainError:
    """Return the principal of a key, or the refusal: auth.key_unknown, engine.unavailable, busy.

    Serves an event loop: the keys of a moment are read together. Keys that were right before are
    read apart from others, which strangers may have made up. Raises SecretUnreadable.
    """
    try:
        return await (_proven_keys if is_proven else _other_keys).ask(key_id)
    except DomainError as refusal:
        return refusal


async def key_used(cached: CachedPrincipal) -> None:
    """Write down that a key was used, with the others of the moment."""
    await _uses.ask(cached.principal.key_number)
    cached.use_due_s = time.monotonic() + LAST_USED_SAMPLE.total_seconds()


def _keys_found(key_ids: Sequence[str]) -> list[CachedPrincipal | Exception]:
    """Return the principal or the refusal of each key, from memory or by one statement."""
    found = {key_id: _cache.get(key_id) for key_id in set(key_ids)}
    missing = [key_id for key_id, cached in found.items() if cached is None]
    read = _keys_read(missing) if missing else {}
    return [found[key_id] or read[key_id] for key_id in key_ids]


def _keys_read(key_ids: Collection[str]) -> dict[str, CachedPrincipal | Exception]:
    """Read and keep the principals of these keys, by one statement."""
    read_s = time.monotonic()
    rows = {row["key_id"]: row for row in rows_of_keys(key_ids)}
    return {key_id: _of_row(key_id, rows.get(key_id), read_s) for key_id in key_ids}


def _of_row(key_id: str, row: dict[str, Any] | None, read_s: float) -> CachedPrincipal | Exception:
    """Keep the principal of a key that is good; forget a key that is good no more."""
    _cache.drop(key_id)
    if row is None:
        _unknown.put(key_id)
        return DomainError(Code.AUTH_KEY_UNKNOWN)
    try:
        cached = _of_key(row, read_s)
    except SecretUnreadable as error:  # fails for its own requests alone
        return error
    _cache.put(key_id, cached)
    return cached


def _of_key(row: dict[str, Any], read_s: float) -> CachedPrincipal:
    scopes = {Scope.READ: row["can_read"], Scope.TRADE: row["can_trade"]}
    return CachedPrincipal(
        principal=_principal(
            row,
            scopes=frozenset(scope for scope, has in scopes.items() if has),
            key_id=row["key_id"],
            key_number=row["key_number"],
        ),
        secret=secret_decrypt(row["secret_encrypted"]),
        expires_at=row["expires_at"],
        read_s=read_s,
        good_until=_good_until(read_s),
        use_due_s=_use_due_s(row["last_used_at"], read_s),
    )


def _use_due_s(last_used: datetime | None, read_s: float) -> float:
    if last_used is None:
        return read_s
    return read_s + (last_used + LAST_USED_SAMPLE - datetime.now(UTC)).total_seconds()


def _keys_used(key_numbers: Sequence[int]) -> list[None]:
    keys_use(set(key_numbers), LAST_USED_SAMPLE)
    return [None] * len(key_numbers)


_proven_keys: Final = Gatherer(
    _keys_found, name="proven-keys", waiting=WEB_KEY_LOOKUPS.labels("proven")
)
_other_keys: Final = Gatherer(
    _keys_found, name="other-keys", waiting=WEB_KEY_LOOKUPS.labels("other")
)
_uses: Final = Gatherer(_keys_used, name="key-uses", waiting=WEB_KEY_USES)


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
    )
    _cache.put(user_id, cached)
    return cached


def _good_until(read_s: float) -> float:
    """Spread the expiry, so that keys first used together are not read again together."""
    return read_s + PRINCIPAL_KEPT_S * (1 - AGE_SPREAD * random())  # noqa: S311


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
