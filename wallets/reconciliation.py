"""Checks of the ledger against itself: L1 to L6. Reads only, in the caller's snapshot.

Entries are only added, so the checks that read them start at a verified mark; `full` starts at the
beginning. Each suspect of an incremental check is summed exactly before it is reported, so a wrong
mark costs time but causes no false alarm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import psycopg
from psycopg import sql

from exchange.domain.ids import ID_MAX, TIME_SHIFT

ENTRIES_MARK: Final = "entries"
BREACHES_MAX: Final = 100  # per check: enough to see what is wrong
# One statement gives a journal's entries their ids: no two are further apart than this.
JOURNAL_SPAN: Final = 10_000 << TIME_SHIFT  # 10 s of ids
# An id older than this belongs to a transaction that is visible, or still listed as running.
SETTLE_MARGIN_S: Final = 30


@dataclass(frozen=True, slots=True)
class Breach:
    """A violated invariant and the asset and symbol concerned; None means all."""

    invariant: str
    detail: str
    asset_id: int | None = None
    symbol_id: int | None = None
    freezes: bool = True  # False: only an alarm, where a halt would not help


def marks_read(connection: psycopg.Connection) -> dict[str, int]:
    """Return the audit's marks by name: how far it has verified each growing table."""
    return dict(connection.execute("SELECT name, value FROM wallets_auditmark").fetchall())


def marks_write(connection: psycopg.Connection, marks: Mapping[str, int]) -> None:
    """Move marks forward; a lower value leaves a mark as it is."""
    for name, value in marks.items():
        connection.execute(
            "INSERT INTO wallets_auditmark AS mark (name, value, updated_at)"
            " VALUES (%s, %s, now()) ON CONFLICT (name) DO UPDATE"
            " SET value = greatest(mark.value, excluded.value), updated_at = now()",
            (name, value),
        )


def journals_balance(connection: psycopg.Connection, after_id: int) -> list[Breach]:
    """L1: the entries of a journal sum to zero per asset."""
    suspects = connection.execute(
        "SELECT journal_id, asset_id FROM wallets_entry WHERE id > %s"
        " GROUP BY journal_id, asset_id HAVING sum(amount) <> 0 LIMIT %s",
        (after_id, BREACHES_MAX),
    ).fetchall()
    breaches = []
    for journal_id, asset_id in suspects:  # a journal's entries may lie on both sides of the mark
        row = connection.execute(
            "SELECT sum(amount) FROM wallets_entry"
            " WHERE id > %s AND journal_id = %s AND asset_id = %s",
            (max(0, after_id - JOURNAL_SPAN), journal_id, asset_id),
        ).fetchone()
        if row is not None and row[0]:
            detail = f"entries of journal {journal_id} sum to {row[0]:f}"
            breaches.append(Breach("L1", detail, asset_id=asset_id))
    return breaches


def totals_are_zero(connection: psycopg.Connection) -> list[Breach]:
    """L2: every asset sums to zero over all accounts, including the external account."""
    rows = connection.execute(
        "SELECT asset_id, sum(available + reserved) FROM wallets_balance"
        " GROUP BY asset_id HAVING sum(available + reserved) <> 0"
    ).fetchall()
    return [Breach("L2", f"all balances sum to {total:f}", asset_id) for asset_id, total in rows]


_BALANCE_SUSPECTS: Final = """
WITH recent AS MATERIALIZED (
    SELECT account_id, asset_id, sum(amount) AS total
    FROM wallets_entry WHERE id > %s GROUP BY account_id, asset_id
), known AS (
    SELECT account_id, asset_id, available + reserved AS total FROM wallets_balance
)
SELECT coalesce(known.account_id, recent.account_id), coalesce(known.asset_id, recent.asset_id)
FROM known FULL JOIN recent
    ON recent.account_id = known.account_id AND recent.asset_id = known.asset_id
LEFT JOIN wallets_auditedbalance audited
    ON audited.account_id = known.account_id AND audited.asset_id = known.asset_id
WHERE coalesce(known.total, 0) <> coalesce(audited.total, 0) + coalesce(recent.total, 0)
LIMIT %s
"""
_BALANCES_EXACT: Final = """
WITH summed AS MATERIALIZED (
    SELECT account_id, asset_id, sum(amount) AS total FROM {entries} GROUP BY account_id, asset_id
), known AS (
    SELECT account_id, asset_id, available + reserved AS total FROM wallets_balance
)
SELECT coalesce(known.account_id, summed.account_id), coalesce(known.asset_id, summed.asset_id),
    known.total, summed.total
FROM known FULL JOIN summed
    ON summed.account_id = known.account_id AND summed.asset_id = known.asset_id
WHERE coalesce(known.total, 0) <> coalesce(summed.total, 0)
LIMIT %s
"""
_BALANCE_EXACT: Final = """
SELECT
    (SELECT available + reserved FROM wallets_balance
     WHERE account_id = %(a)s AND asset_id = %(b)s),
    (SELECT sum(amount) FROM {entries} WHERE account_id = %(a)s AND asset_id = %(b)s)
"""


def balances_equal_entries(
    connection: psycopg.Connection, after_id: int, *, full: bool
) -> list[Breach]:
    """L3: a balance is the sum of its entries, including those in detached partitions."""
    if full:
        query = sql.SQL(_BALANCES_EXACT).format(entries=_all_entries(connection))
        found = connection.execute(query, (BREACHES_MAX,)).fetchall()
        return [_balance_breach(*row) for row in found]
    suspects = connection.execute(_BALANCE_SUSPECTS, (after_id, BREACHES_MAX)).fetchall()
    if not suspects:
        return []
    query = sql.SQL(_BALANCE_EXACT).format(entries=_all_entries(connection))
    breaches = []
    for account_id, asset_id in suspects:
        row = connection.execute(query, {"a": account_id, "b": asset_id}).fetchone()
        assert row is not None
        balance, total = row
        if (balance or 0) != (total or 0):
            breaches.append(_balance_breach(account_id, asset_id, balance, total))
    return breaches


def _balance_breach(
    account_id: int, asset_id: int, balance: Decimal | None, total: Decimal | None
) -> Breach:
    detail = f"account {account_id} has {balance or 0:f}, its entries sum to {total or 0:f}"
    return Breach("L3", detail, asset_id)


_DETACHED: Final = """
SELECT child.relname FROM pg_class child
JOIN pg_class parent ON parent.oid = 'wallets_entry'::regclass
WHERE child.relnamespace = parent.relnamespace AND NOT child.relispartition
    AND child.relkind = 'r' AND child.relname ~ '^wallets_entry_p[0-9]+$'
"""


def _all_entries(connection: psycopg.Connection, upto_id: int = ID_MAX) -> sql.Composable:
    """Return a FROM item of all entries up to `upto_id`, including detached partitions."""
    detached = [row[0] for row in connection.execute(_DETACHED).fetchall()]
    selects = [
        sql.SQL("SELECT account_id, asset_id, amount FROM {} WHERE id <= {}").format(
            sql.Identifier(name), sql.Literal(upto_id)
        )
        for name in ("wallets_entry", *detached)
    ]
    return sql.SQL("({}) AS entries").format(sql.SQL(" UNION ALL ").join(selects))


def nothing_is_negative(connection: psycopg.Connection) -> list[Breach]:
    """L4: reserved is at least zero, and a user's available too; no flag lets it go below."""
    rows = connection.execute(
        "SELECT balance.account_id, balance.asset_id, available, reserved, balance.may_be_negative"
        " FROM wallets_balance balance JOIN wallets_account account"
        "   ON account.id = balance.account_id"
        " WHERE reserved < 0 OR (available < 0 AND account.kind = 'user')"
        "   OR (balance.may_be_negative AND account.kind = 'user') LIMIT %s",
        (BREACHES_MAX,),
    ).fetchall()
    return [
        Breach(
            "L4",
            f"account {account_id} has available {available:f}, reserved {reserved:f}"
            + (" and may go below zero" if unbounded else ""),
            asset_id,
        )
        for account_id, asset_id, available, reserved, unbounded in rows
    ]


_RESERVED: Final = """
WITH summed AS MATERIALIZED (
    SELECT account_id, asset_id, sum(amount) AS total
    FROM wallets_reservation GROUP BY account_id, asset_id
)
SELECT coalesce(balance.account_id, summed.account_id),
    coalesce(balance.asset_id, summed.asset_id),
    coalesce(balance.reserved, 0), coalesce(summed.total, 0)
FROM wallets_balance balance FULL JOIN summed
    ON summed.account_id = balance.account_id AND summed.asset_id = balance.asset_id
WHERE coalesce(balance.reserved, 0) <> coalesce(summed.total, 0)
LIMIT %s
"""


def reserved_is_explained(connection: psycopg.Connection) -> list[Breach]:
    """L5, first half: a balance's reserved amount is the sum of its orders' reservations."""
    rows = connection.execute(_RESERVED, (BREACHES_MAX,)).fetchall()
    return [
        Breach(
            "L5",
            f"account {account_id} has {reserved:f} reserved, its reservations sum to {total:f}",
            asset_id,
        )
        for account_id, asset_id, reserved, total in rows
    ]


_HORIZON: Final = """
SELECT (extract(epoch FROM least(
    now() - make_interval(secs => %s),
    (SELECT min(xact_start) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid())
)) * 1000)::bigint
"""


def horizon_ms(connection: psycopg.Connection) -> int:
    """Return a Unix time in ms: every id made before it belongs to a transaction that has ended."""
    row = connection.execute(_HORIZON, (SETTLE_MARGIN_S,)).fetchone()
    assert row is not None
    return int(row[0])


_AUDITED_ADD: Final = """
INSERT INTO wallets_auditedbalance AS audited (account_id, asset_id, total)
SELECT account_id, asset_id, sum(amount) FROM wallets_entry
WHERE id > %s AND id <= %s GROUP BY account_id, asset_id
ON CONFLICT (account_id, asset_id) DO UPDATE SET total = audited.total + excluded.total
"""


def audited_advance(connection: psycopg.Connection, after_id: int, upto_id: int) -> None:
    """Add the entries between two marks to the verified sums; `after_id` 0 sums all anew.

    The caller has the audit's advisory lock and moves the mark in the same transaction.
    """
    if after_id == 0:
        connection.execute("DELETE FROM wallets_auditedbalance")
        query = sql.SQL(
            "INSERT INTO wallets_auditedbalance (account_id, asset_id, total)"
            " SELECT account_id, asset_id, sum(amount) FROM {} GROUP BY account_id, asset_id"
        ).format(_all_entries(connection, upto_id))
        connection.execute(query)
        return
    if upto_id > after_id:
        connection.execute(_AUDITED_ADD, (after_id, upto_id))
