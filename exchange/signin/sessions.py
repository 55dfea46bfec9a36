"""The engine of settings.SESSION_ENGINE: Django's, but it looks up only well-formed session keys.

A cookie may hold any text. Django's engine would look up all of it in the cache and in Postgres,
and text with a NUL (cookies have escapes) would be a fault there.
"""

import re
from typing import Final

from django.contrib.sessions.backends.cached_db import SessionStore as CachedSessions

_KEY: Final = re.compile(r"[a-z0-9]{32}", re.ASCII).fullmatch  # as SessionBase makes them


class SessionStore(CachedSessions):
    """Sessions in the cache, and behind the cache in Postgres."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY(key) is not None
