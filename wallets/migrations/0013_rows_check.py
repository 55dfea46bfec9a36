"""A function with which a statement fails where it changed another number of rows than it must.

Intake sends its writes and the COMMIT together, so no program can look at their counts in between.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION takas_rows_check(written bigint, wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF written <> wanted THEN
        RAISE EXCEPTION 'changed % of % rows', written, wanted;
    END IF;
END $$;
"""
DROP = "DROP FUNCTION takas_rows_check(bigint, bigint)"


class Migration(migrations.Migration):
    dependencies = [("wallets", "0012_barred_by_statement")]
    operations = [migrations.RunSQL(CREATE, DROP)]
