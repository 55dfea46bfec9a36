"""Authentication by a signed API key or by a page's session; both give a Principal.

A signature is the hexadecimal HMAC-SHA256 over four lines: timestamp, method, path with query as
sent, and the hash of the body (string_to_sign, docs/authentication.md).
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.http import HttpRequest

from exchange.access.principals import (
    CachedPrincipal,
    Principal,
    key_look_up,
    key_used,
    principal_of_key,
    principal_of_user,
)
from exchange.access.secrets import secret_encrypt
from exchange.access.security_events import event_record
from exchange.api.admission import (
    session_right,
    session_wrong,
    user_admit,
)
from exchange.api.requests import body_of
from exchange.api.strangers import strangers
from exchange.domain import grammar
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SecurityKind
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import off_loop
from exchange.infra.http.address import environ_network
from exchange.infra.http.wsgi import wire_target
from exchange.infra.lookups import here_or_thread
from exchange.infra.throttling import UNLIMITED, Ticket, guard
from exchange.models import ApiKey, User

WINDOW_DEFAULT_MS: Final = 5_000
WINDOW_MAX_MS: Final = 60_000
FUTURE_MAX_MS: Final = 1_000
KEY_PREFIX: Final = "tk_"
LABEL_MAX: Final = 60
KEYS_PER_USER_MAX: Final = 20  # keys that are not revoked

# What a look-up of a key found; None: nothing was looked up yet.
Found = CachedPrincipal | DomainError | None

_KEY: Final = re.compile(grammar.KEY, re.ASCII).fullmatch
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII).fullmatch
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch


async def authenticated(
    request: HttpRequest, scope: Scope, *, times: Callable[[], int] | None = None
) -> Principal:
    """Return the request's Principal, which has this scope; raises the auth refusals.

    The request counts against the user's rates, at its weight multiplied by `times()`; `times` is
    called only after the signature was verified. For sessions, the middleware has checked CSRF
    before any view runs.
    """
    principal, signature = await _identified(request)
    if scope not in principal.scopes:
        raise DomainError(Code.AUTH_SCOPE_MISSING, scope=scope.value)
    count = times() if times is not None else 1
    await user_admit(request, principal.user_id, principal.limits, signature, times=count)
    return principal


def authenticate(request: HttpRequest, scope: Scope) -> Principal:
    """Do the same in a thread, at the weight once."""
    return off_loop(authenticated(request, scope))


def owner_of(principal: Principal) -> str:
    """Return the name under which reads take turns (exchange/infra/lookups.py)."""
    return f"user:{principal.user_id}"


async def _identified(request: HttpRequest) -> tuple[Principal, str]:
    """Return the Principal and its signature; "" stands for a session."""
    key_id = request.META.get("HTTP_X_TAKAS_KEY")
    if key_id is None:
        return await here_or_thread(_by_session, request), ""
    try:
        kept = _by_key(request, key_id)
    except SynchronousOnlyOperation:
        found = await key_look_up(key_id, is_proven=strangers.knows(key_id))
        kept = _by_key(request, key_id, found)
    if kept.is_use_due:
        await key_used(kept)
    return kept.principal, request.META.get("HTTP_X_TAKAS_SIGNATURE", "")


def string_to_sign(timestamp: str, method: str, path: str, body: bytes) -> bytes:
    """Return the bytes that a client signs; `path` includes the query."""
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
    network: str,
    window: str = "",
) -> Principal:
    """Return the Principal of a signature that is used for the first time.

    Serves requests that are not HTTP, such as the feed's login. Raises the auth refusals.
    """
    signed = string_to_sign(timestamp, method, path, body)
    kept = _signature_check(key_id, timestamp, window, signature, signed, lambda: network)
    if kept.is_use_due:
        off_loop(key_used(kept))
    guard.check(Ticket(signature, "", UNLIMITED))
    return kept.principal


def head_check(environ: Mapping[str, Any]) -> None:
    """Refuse a signed request by its head alone, before its body is read; raises auth refusals."""
    _parts_check(
        environ["HTTP_X_TAKAS_KEY"],
        environ.get("HTTP_X_TAKAS_TIMESTAMP", ""),
        environ.get("HTTP_X_TAKAS_WINDOW", ""),
        environ.get("HTTP_X_TAKAS_SIGNATURE", ""),
        partial(environ_network, environ),
    )


def _parts_check(
    key_id: str, timestamp: str, window: str, signature: str, network: Callable[[], str]
) -> None:
    try:
        if not _KEY(key_id):
            raise DomainError(Code.AUTH_KEY_UNKNOWN)
        _timestamp_check(timestamp, window)
        if not _SIGNATURE(signature):
            raise DomainError(Code.AUTH_SIGNATURE_INVALID)
    except DomainError:
        strangers.misspelt(key_id, network())
        raise


def _signature_check(
    key_id: str,
    timestamp: str,
    window: str,
    signature: str,
    signed: bytes,
    network: Callable[[], str],
    found: Found = None,
) -> CachedPrincipal:
    _parts_check(key_id, timestamp, window, signature, network)
    check = partial(_key_checked, key_id, signature, signed, found)
    return strangers.attempt(key_id, network, check)


def _key_checked(key_id: str, signature: str, signed: bytes, found: Found) -> CachedPrincipal:
    """Return the principal of a key that made the signature and has not expired."""
    kept = principal_of_key(key_id) if found is None else found
    if isinstance(kept, DomainError):
        raise kept
    expected = hmac.digest(kept.secret, signed, "sha256").hex()
    if not hmac.compare_digest(expected, signature):
        raise DomainError(Code.AUTH_SIGNATURE_INVALID)
    if kept.expires_at is not None and kept.expires_at <= datetime.now(UTC):
        raise DomainError(Code.AUTH_KEY_UNKNOWN)
    return kept


def _by_key(request: HttpRequest, key_id: str, found: Found = None) -> CachedPrincipal:
    meta = request.META
    timestamp = meta.get("HTTP_X_TAKAS_TIMESTAMP", "")
    signature = meta.get("HTTP_X_TAKAS_SIGNATURE", "")
    signed = string_to_sign(timestamp, request.method or "", wire_target(request), body_of(request))
    window = meta.get("HTTP_X_TAKAS_WINDOW", "")
    network = partial(environ_network, meta)
    return _signature_check(key_id, timestamp, window, signature, signed, network, found)


def _timestamp_check(timestamp: str, window: str) -> None:
    server_ms = time.time_ns() // 1_000_000
    window_ms = WINDOW_DEFAULT_MS
    if window:
        # A window that is no number admits no request, not even one of this very millisecond.
        window_ms = min(int(window), WINDOW_MAX_MS) if _NUMBER(window) else -FUTURE_MAX_MS - 1
    if not _NUMBER(timestamp) or not -FUTURE_MAX_MS <= server_ms - int(timestamp) <= window_ms:
        raise DomainError(
            Code.AUTH_TIMESTAMP_OUTSIDE_WINDOW, window_ms=max(0, window_ms), server_ms=server_ms
        )


def _by_session(request: HttpRequest) -> Principal:
    # Requests without cookies skip the session middleware, so they have no `user`.
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        session_wrong(request)
        raise DomainError(Code.AUTH_REQUIRED)
    principal = principal_of_user(user.pk).principal
    session_right(request, principal.user_id)
    return principal


@transaction.atomic
def api_key_create(*, user_id: int, label: str, can_trade: bool) -> tuple[ApiKey, str]:
    """Create a key that may read, and trade if `can_trade`; return it and its secret.

    Only this call ever returns the secret.
    """
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        key_id=f"{KEY_PREFIX}{secrets.token_urlsafe(16)}",
        user_id=user_id,
        label=label[:LABEL_MAX],
        secret_encrypted=secret_encrypt(secret),
        can_read=True,
        can_trade=can_trade,
    )
    detail = {"label": key.label, "can_trade": can_trade}
    event_record(
        SecurityKind.KEY_MADE,
        actor_id=user_id,
        subject_id=user_id,
        target=key.key_id,
        detail=detail,
    )
    return key, secret


def api_key_add(*, user_id: int, label: str, can_trade: bool) -> tuple[ApiKey, str]:
    """Create a key that its user asked for; raises auth.keys_max.

    The lock on the user's row makes concurrent requests count all keys.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user_id)
        if ApiKey.objects.filter(user_id=user_id, revoked_at=None).count() >= KEYS_PER_USER_MAX:
            raise DomainError(Code.AUTH_KEYS_MAX, limit=KEYS_PER_USER_MAX)
        return api_key_create(user_id=user_id, label=label, can_trade=can_trade)
