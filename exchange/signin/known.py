"""Sessions that this process lately found valid, which strangers cannot shut out.

A request is counted against its network before anything is looked up. A request of a session that
was valid before is counted against its user instead, until the session turns out to be invalid.
"""

import threading
from collections import OrderedDict
from typing import Final

from django.conf import settings
from django.http import HttpRequest

KNOWN_SESSIONS_MAX: Final = 20_000


class KnownSessions:
    """User ids by session key; the session kept longest ago is dropped first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: OrderedDict[str, int] = OrderedDict()

    def user_of(self, request: HttpRequest) -> int | None:
        """Return the user of the request's session, if it was valid lately."""
        return self._users.get(session_cookie(request))

    def keep(self, key: str, user_id: int) -> None:
        """Remember that a session is valid."""
        with self._lock:
            self._users[key] = user_id
            self._users.move_to_end(key)
            while len(self._users) > KNOWN_SESSIONS_MAX:
                self._users.popitem(last=False)

    def drop(self, request: HttpRequest) -> None:
        """Forget the session of the request, which is invalid."""
        with self._lock:
            self._users.pop(session_cookie(request), None)

    def forget(self) -> None:
        """Forget all sessions (between tests)."""
        with self._lock:
            self._users.clear()


def session_cookie(request: HttpRequest) -> str:
    """Return the session key in the request's cookie, which may be any text; empty without one."""
    return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


known_sessions: Final = KnownSessions()
