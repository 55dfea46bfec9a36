"""The database's own guards of the ledger: journals balance, entries are never changed.

The balance check sums the rows of one statement, so a journal's entries must arrive in one
statement; the check costs no query per row. Both triggers guard every partition: Postgres clones
row triggers to partitions, and the statement trigger fires on the parent, which all inserts name.
Only the table's owner may TRUNCATE: the grants do not give that privilege to the application.
"""

from django.db import migrations

GUARDS = """
CREATE FUNCTION takas_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
END $$;

CREATE FUNCTION takas_journals_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added GROUP BY journal_id, asset_id HAVING sum(amount) <> 0
    ) THEN
        RAISE EXCEPTION 'the entries of a journal do not sum to zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_journal_balances';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE ON wallets_entry
    FOR EACH ROW EXECUTE FUNCTION takas_refuse_change();
CREATE TRIGGER entry_journal_balances AFTER INSERT ON wallets_entry
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION takas_journals_balance();

-- Rows that are updated all the time: room on the page keeps the updates off the indexes, and
-- vacuum comes often and small.
ALTER TABLE wallets_balance SET (
    fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE wallets_reservation SET (
    fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
"""

UNDO = """
ALTER TABLE wallets_reservation RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE wallets_balance RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
DROP TRIGGER entry_journal_balances ON wallets_entry;
DROP TRIGGER entry_append_only ON wallets_entry;
DROP FUNCTION takas_journals_balance();
DROP FUNCTION takas_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("wallets", "0001_initial")]

    operations = [migrations.RunSQL(GUARDS, UNDO)]
