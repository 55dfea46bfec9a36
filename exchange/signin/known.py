"""Sessions that were right lately, in this process: they stay open beside strangers.

Who authenticates nobody is counted by network before anything is looked up. A session that was
right before is counted as its user's instead, until it turns out to be wrong.
"""

import threading
from collections import OrderedDict
from typing import Final

from django.conf import settings
from django.http import HttpRequest

KNOWN_SESSIONS_MAX: Final = 20_000


class KnownSessions:
    """Users by the keys of their sessions; the one that was not used for longest goes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: OrderedDict[str, int] = OrderedDict()

    def user_of(self, request: HttpRequest) -> int | None:
        """Whose session the request names, if it was right lately."""
        return self._users.get(session_cookie(request))

    def keep(self, key: str, user_id: int) -> None:
        """A session was right."""
        with self._lock:
            self._users[key] = user_id
            self._users.move_to_end(key)
            while len(self._users) > KNOWN_SESSIONS_MAX:
                self._users.popitem(last=False)

    def drop(self, request: HttpRequest) -> None:
        """The session that the request names is nobody's (any more)."""
        with self._lock:
            self._users.pop(session_cookie(request), None)

    def forget(self) -> None:
        """Begin anew (between tests)."""
        with self._lock:
            self._users.clear()


def session_cookie(request: HttpRequest) -> str:
    """The session that a request names: its own word."""
    return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


known_sessions: Final = KnownSessions()
