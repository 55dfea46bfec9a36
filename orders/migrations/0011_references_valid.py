"""The rows that were there before keep to the foreign keys, too; reads and writes go on."""

from django.db import migrations

KEYS = (
    ("orders_orderlist", "orderlist_account_fk"),
    ("orders_orderlist", "orderlist_symbol_fk"),
    ("orders_preventedmatch", "prevented_symbol_fk"),
    ("orders_preventedmatch", "prevented_maker_fk"),
    ("orders_preventedmatch", "prevented_taker_fk"),
    ("orders_enginefault", "enginefault_symbol_fk"),
    ("wallets_auditedbalance", "audited_account_fk"),
    ("wallets_auditedbalance", "audited_asset_fk"),
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0010_references")]

    operations = [
        migrations.RunSQL(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", migrations.RunSQL.noop)
        for table, name in KEYS
    ]
