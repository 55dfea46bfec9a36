"""Check of L6: entries and trades were never changed."""

from typing import Final

import psycopg

from wallets.reconciliation import Breach

_GUARDS_MISSING: Final = """
SELECT table_class.relname, wanted.trigger
FROM (VALUES ('wallets_entry', 'entry_append_only', true),
             ('wallets_entry', 'entry_journal_balances', false),
             ('orders_trade', 'trade_append_only', true)) AS wanted (parent, trigger, on_children)
JOIN pg_class table_class ON table_class.oid = wanted.parent::regclass
    OR (wanted.on_children AND table_class.oid IN (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = wanted.parent::regclass))
LEFT JOIN pg_trigger guard ON guard.tgrelid = table_class.oid AND guard.tgname = wanted.trigger
    AND guard.tgenabled IN ('O', 'A')
WHERE guard.oid IS NULL
"""
_CHANGED: Final = """
SELECT stats.relname, stats.n_tup_upd, stats.n_tup_del
FROM pg_stat_user_tables stats JOIN pg_inherits ON inhrelid = stats.relid
WHERE inhparent IN ('wallets_entry'::regclass, 'orders_trade'::regclass)
    AND (stats.n_tup_upd > 0 OR stats.n_tup_del > 0)
"""


def records_are_untouched(connection: psycopg.Connection) -> list[Breach]:
    """Check L6: the guards of entries and trades are in force, and no row was changed.

    The counters are Postgres' own statistics. They count changes also while a guard is off, until
    statistics are reset or lost in a crash. L1, L3 and S1 then still find a wrong row.
    """
    breaches = [
        Breach("L6", f"{table} has lost its guard {trigger}")
        for table, trigger in connection.execute(_GUARDS_MISSING).fetchall()
    ]
    return breaches + [
        Breach("L6", f"{table}: {updates} rows updated, {deletes} deleted")
        for table, updates, deletes in connection.execute(_CHANGED).fetchall()
    ]
