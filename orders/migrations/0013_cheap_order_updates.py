"""An update of an order locks no row beforehand, and finds room on its own page.

A BEFORE trigger of rows has Postgres lock each row before its condition is looked at, and log the
lock. An AFTER trigger refuses the same moves, in the same statement. The partitions that exist get
the fillfactor that new ones are made with (exchange.infra.partition_ranges); it holds for pages
that are filled from now on.
"""

from importlib import import_module

from django.db import migrations

_moves = import_module("orders.migrations.0009_order_moves")

_CREATE = _moves.MOVES[_moves.MOVES.index("CREATE TRIGGER") :]
_DROP = "DROP TRIGGER order_moves ON orders_order;"

FILLFACTOR = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'orders_order'::regclass LOOP
        EXECUTE format('ALTER TABLE %s {}', part);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0012_command_of_order")]

    operations = [
        migrations.RunSQL(
            _DROP + _CREATE.replace("BEFORE UPDATE", "AFTER UPDATE"), _DROP + _CREATE
        ),
        migrations.RunSQL(
            FILLFACTOR.format("SET (fillfactor = 50)"), FILLFACTOR.format("RESET (fillfactor)")
        ),
    ]
