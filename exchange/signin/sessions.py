"""settings.SESSION_ENGINE: Django's, which looks only for what can be a session's key.

A cookie is the client's own word: any text would be looked for in the cache and in Postgres, and
one with a NUL in it (cookies know escapes) would be a fault.
"""

import re
from typing import Final

from django.contrib.sessions.backends.cached_db import SessionStore as CachedSessions

_KEY: Final = re.compile(r"[a-z0-9]{32}", re.ASCII).fullmatch  # as SessionBase makes them


class SessionStore(CachedSessions):
    """Sessions in the cache, and behind it in Postgres."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY(key) is not None
