"""The statements that read principals, and the one that tells that keys were used.

They are written by hand: the ORM's two statements took 1.4 ms of the processor, a tenth of the web
process.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.database import DATABASE_AWAY

_USER: Final = """
    person.id AS user_id, person.is_suspended, person.group_id, person.self_trade_prevention,
    account.id AS account_id, tier.id AS tier_id, tier.orders_per_second,
    tier.cancels_per_second, tier.reads_per_second, tier.may_self_trade"""
_FROM: Final = """
FROM exchange_user AS person
LEFT JOIN (%(accounts)s) AS account ON account.user_id = person.id
LEFT JOIN exchange_tier AS tier
    ON tier.id = COALESCE(person.tier_id, (SELECT id FROM exchange_tier WHERE is_default))
"""
_OF_USER: Final = f"SELECT {_USER} {_FROM} WHERE person.id = %%s AND person.is_active"
_OF_KEY: Final = f"""
SELECT {_USER}, key.id AS key_number, key.secret_encrypted, key.can_read, key.can_trade,
    key.expires_at, key.last_used_at, key.key_id
{_FROM} JOIN exchange_apikey AS key ON key.user_id = person.id
WHERE key.key_id = ANY(%%s) AND key.revoked_at IS NULL AND person.is_active
"""

# In the order of ids, and past rows that somebody holds: processes write the same keys at once.
_USE: Final = """
UPDATE exchange_apikey SET last_used_at = now() WHERE id = ANY(ARRAY(
    SELECT id FROM exchange_apikey WHERE id = ANY(%s)
        AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => %s))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED))
"""


@dataclass(slots=True)
class _Statements:
    """The SQL that reads a user or a key; empty before `accounts_found_in` was called."""

    of_user: str = ""
    of_key: str = ""


_statements: Final = _Statements()


def accounts_found_in(source: str) -> None:
    """Set the source of accounts: a SELECT of their `id` and `user_id`.

    Accounts belong to an app that this app may not import. The other app calls this function once,
    when it starts; no principal can be read before.
    """
    _statements.of_user = _OF_USER % {"accounts": source}
    _statements.of_key = _OF_KEY % {"accounts": source}


def rows_of_user(user_id: int) -> list[dict[str, Any]]:
    """Return the row of an active user, if there is one."""
    return _rows(_statements.of_user, user_id)


def rows_of_keys(key_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return the rows of those keys that are good."""
    return _rows(_statements.of_key, list(key_ids))


def keys_use(key_numbers: Collection[int], sample: timedelta) -> None:
    """Write down that these keys were used, where that is not known of the last `sample`."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_USE, [list(key_numbers), sample.total_seconds()])
    except DATABASE_AWAY as error:
        raise DomainError(Code.ENGINE_UNAVAILABLE) from error


def _rows(statement: str, wanted: list[str] | int) -> list[dict[str, Any]]:
    """Return the rows as dicts. Raises engine.unavailable while Postgres is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, [wanted])
            names = [column.name for column in cursor.description]
            return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    except DATABASE_AWAY as error:
        raise DomainError(Code.ENGINE_UNAVAILABLE) from error
