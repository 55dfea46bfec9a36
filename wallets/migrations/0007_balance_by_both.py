"""A balance is found by its account and asset: no index by one of them alone."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0005_order_types_and_states"),
        ("wallets", "0006_linked_lookups"),
    ]

    operations = [
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
    ]
