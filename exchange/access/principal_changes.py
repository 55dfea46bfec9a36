"""What has changed of principals since they were read: asked once a second, by one statement.

Triggers note each change of what a principal is made of in a table (migrations/0011). A reading
returns the notes that its snapshot shows and the snapshot of the last reading did not. So none is
missed, in whatever order transactions commit.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.copies import Copy
from exchange.infra.database import DATABASE_AWAY

PRINCIPAL_AGE_MAX_S: Final = 2.0  # a change takes effect within this time, in every process
CHECK_EVERY_S: Final = 0.5 * PRINCIPAL_AGE_MAX_S
PRINCIPAL_KEPT_S: Final = 300.0  # then a principal is read again, whether or not it has changed
CHANGED_MAX: Final = 20_000  # users; where more have changed, all are taken to have
# Notes are kept for a day; who has not looked for an hour takes everybody to have changed.
GAP_MAX: Final = timedelta(hours=1)

_CHANGED: Final = """
SELECT pg_current_snapshot()::text, pg_postmaster_start_time(), clock_timestamp(), ARRAY(
    SELECT DISTINCT user_id FROM exchange_principalchange
    WHERE transaction >= pg_snapshot_xmin(%(seen)s::pg_snapshot)::text::bigint
        AND NOT pg_visible_in_snapshot(transaction::text::xid8, %(seen)s::pg_snapshot)
    LIMIT %(limit)s)
"""


class Look(NamedTuple):
    """What the database was when it was last looked at; snapshots mean nothing to another one."""

    snapshot: str
    server_start: datetime
    at: datetime  # by the database's clock


@dataclass(frozen=True, slots=True)
class Changes:
    """When changes became known, by time.monotonic: of everybody, and of single users."""

    of_all_s: float
    of_user_s: Mapping[int, float]

    def spare(self, user_id: int, read_s: float) -> bool:
        """Return whether nothing is known to have changed of a user who was read at `read_s`."""
        return read_s > self.of_all_s and read_s > self.of_user_s.get(user_id, 0.0)


class Watch:
    """Looks for changes; the copy that holds it lets one thread look at a time."""

    def __init__(self) -> None:
        self.last: Look | None = None
        self._changes = Changes(0.0, {})

    def look(self) -> Changes:
        """Return all changes known now. Raises engine.unavailable while Postgres is away."""
        look, users = self._looked()
        known_s = time.monotonic()
        is_sure = self.last is not None and _follows(look, self.last)
        if not is_sure or None in users or len(users) > CHANGED_MAX:
            self._changes = Changes(known_s, {})
        else:
            self._changes = _with(self._changes, [user for user in users if user], known_s)
        self.last = look
        return self._changes

    def _looked(self) -> tuple[Look, list[int | None]]:
        seen = self.last.snapshot if self.last is not None else None
        try:
            with connection.cursor() as cursor:
                cursor.execute(_CHANGED, {"seen": seen, "limit": CHANGED_MAX + 1})
                snapshot, server_start, at, users = cursor.fetchone()
        except DATABASE_AWAY as error:
            raise DomainError(Code.ENGINE_UNAVAILABLE) from error
        return Look(snapshot, server_start, at), users


def _follows(look: Look, last: Look) -> bool:
    """Return whether the later look shows all that changed since the last one."""
    return look.server_start == last.server_start and look.at - last.at <= GAP_MAX


def _with(changes: Changes, users: list[int], known_s: float) -> Changes:
    """Return the changes with those of some users, without those that no principal remembers."""
    of_user_s = {
        user: at_s for user, at_s in changes.of_user_s.items() if at_s > known_s - PRINCIPAL_KEPT_S
    }
    of_user_s.update(dict.fromkeys(users, known_s))
    if len(of_user_s) > CHANGED_MAX:
        return Changes(known_s, {})
    return Changes(changes.of_all_s, of_user_s)


def principal_changes() -> Changes:
    """Return what has changed as of PRINCIPAL_AGE_MAX_S ago at most.

    Raises engine.unavailable; SynchronousOnlyOperation on an event loop where it has to be read.
    """
    return changes_copy.get()


changes_copy: Final = Copy(Watch().look, age_max_s=CHECK_EVERY_S, stale_max_s=PRINCIPAL_AGE_MAX_S)
