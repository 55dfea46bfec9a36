"""Ends of logins: a sign-out, a new password, a revoked key, or all logins of a user at once.

An end commits together with its security event. After the commit the login's sockets end in every
process.
"""

from datetime import UTC, datetime
from functools import partial

from django.contrib.auth import logout
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest

from exchange.access.notices import key_group, login_ended, session_group, sessions_group
from exchange.access.principals import principals_forget
from exchange.access.security_events import event_record
from exchange.domain.codes import Code
from exchange.domain.enums import SecurityKind
from exchange.domain.errors import DomainError
from exchange.models import ApiKey, User


def sign_out(request: HttpRequest) -> None:
    """End the session of the request, and its sockets; record the end of a user's session."""
    user_id, session_key = request.user.pk, request.session.session_key
    if user_id is not None:
        event_record(SecurityKind.SIGN_OUT, subject_id=user_id)
    logout(request)
    if user_id is not None and session_key is not None:
        transaction.on_commit(partial(login_ended, session_group(session_key)))


@transaction.atomic
def password_store(user: User) -> None:
    """Store the user's new password; every session under the old password ends."""
    user.save(update_fields=["password"])
    password_changed(user)


@transaction.atomic
def password_changed(user: User) -> None:
    """Record a new password and end the sockets of the user's sessions after the commit."""
    event_record(SecurityKind.PASSWORD_CHANGED, subject_id=user.pk)
    transaction.on_commit(partial(login_ended, sessions_group(user.pk)))


@transaction.atomic
def sessions_end(user_id: int, *, reason: str) -> None:
    """End every session of a user, on all devices."""
    User.objects.filter(pk=user_id).update(session_epoch=F("session_epoch") + 1)
    event_record(SecurityKind.SESSIONS_ENDED, subject_id=user_id, detail={"reason": reason})
    transaction.on_commit(partial(login_ended, sessions_group(user_id)))


@transaction.atomic
def key_revoke(*, user_id: int, key_id: str, reason: str = "", actor_id: int | None = None) -> None:
    """Revoke a user's key: at once in this process, in others within PRINCIPAL_AGE_MAX_S.

    A second call changes nothing. Raises request.not_found for a key that is not this user's.
    """
    keys = ApiKey.objects.select_for_update(of=("self",)).filter(user_id=user_id)
    key = keys.filter(key_id=key_id).first() if key_id.isprintable() else None
    if key is None:
        raise DomainError(Code.REQUEST_NOT_FOUND)
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        key.save(update_fields=["revoked_at"])
        event_record(
            SecurityKind.KEY_REVOKED,
            actor_id=actor_id,
            subject_id=user_id,
            target=key_id,
            detail={"label": key.label, "reason": reason},
        )
    transaction.on_commit(principals_forget)
    transaction.on_commit(partial(login_ended, key_group(key.pk)))
