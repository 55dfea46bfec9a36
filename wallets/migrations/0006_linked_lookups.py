"""Indexes by which settlement finds the orders that are linked to another one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("wallets", "0005_linked_reservations"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("pool_id__isnull", False)),
                fields=["pool_id", "order_id"],
                name="reservation_pool",
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("pool_id__isnull", False)),
                fields=["order_id", "pool_id"],
                name="reservation_pooled",
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("funded_by__isnull", False)),
                fields=["funded_by", "order_id"],
                name="reservation_funded",
            ),
        ),
    ]
