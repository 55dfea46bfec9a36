"""Drop the indexes of balances by account alone and by asset alone.

Statements find a balance by account and asset together. The migration is written by hand, because
Django would create both foreign keys again and lock the table meanwhile.
"""

import django.db.models.deletion
from django.db import migrations, models

# The names that Django gave the indexes in 0001.
BY_ACCOUNT = "wallets_balance_account_id_f88964f1"
BY_ASSET = "wallets_balance_asset_id_8ab85e25"


def without(index: str, column: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index}",
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON wallets_balance ({column})",
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("exchange", "0005_order_types_and_states"),
        ("wallets", "0006_linked_lookups"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="balance",
                    name="account",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balances",
                        to="wallets.account",
                    ),
                ),
                migrations.AlterField(
                    model_name="balance",
                    name="asset",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.asset",
                    ),
                ),
            ],
            database_operations=[
                without(BY_ACCOUNT, "account_id"),
                without(BY_ASSET, "asset_id"),
            ],
        )
    ]
