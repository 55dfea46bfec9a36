"""Login states read from Postgres: whether each socket's login is still good, and until when."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from exchange.models import User
from exchange.realtime.send_queue import SocketLogin


def mark_of(user: User) -> str:
    """Return the mark of a user's sessions; a new password, or ending all sessions, changes it."""
    return hashlib.sha256(f"{user.password}:{user.session_epoch}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LoginStates:
    """Marks of active users, and the expiry of valid sessions and keys; None means never."""

    users: dict[int, str]
    sessions: dict[str, datetime]
    keys: dict[int, datetime | None]

    def is_valid(self, login: SocketLogin) -> bool:
        """Return whether this login is still good."""
        mark = self.users.get(login.user_id)
        if mark is None:
            return False
        if login.session_key is None:
            return login.key_number in self.keys
        return mark == login.mark and login.session_key in self.sessions

    def expires_at_s(self, login: SocketLogin) -> float | None:
        """Return the expiry of a valid login in epoch seconds; None where it never expires."""
        if login.session_key is None:
            ends = self.keys[login.key_number]
            return None if ends is None else ends.timestamp()
        return self.sessions[login.session_key].timestamp()


_USERS: Final = """
SELECT id, encode(sha256(convert_to(password || ':' || session_epoch, 'UTF8')), 'hex')
FROM exchange_user WHERE is_active AND id = ANY(%s)
"""
_SESSIONS: Final = """
SELECT session_key, expire_date FROM django_session
WHERE expire_date > now() AND session_key = ANY(%s)
"""
_KEYS: Final = """
SELECT id, expires_at FROM exchange_apikey
WHERE revoked_at IS NULL AND can_read AND (expires_at IS NULL OR expires_at > now())
    AND id = ANY(%s)
"""


def login_states_read(logins: Collection[SocketLogin]) -> LoginStates:
    """Read the states of these logins, in at most three statements for any number of logins."""
    with connection.cursor() as cursor:

        def rows(statement: str, ids: set[Any]) -> dict[Any, Any]:
            if not ids:
                return {}
            cursor.execute(statement, [list(ids)])
            return dict(cursor.fetchall())

        return LoginStates(
            users=rows(_USERS, {login.user_id for login in logins}),
            sessions=rows(_SESSIONS, {login.session_key for login in logins} - {None}),
            keys=rows(_KEYS, {login.key_number for login in logins} - {0}),
        )
