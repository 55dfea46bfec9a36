"""Columns for the reservations of linked orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("wallets", "0004_audit_marks"),
    ]

    operations = [
        migrations.AddField(
            model_name="reservation",
            name="funded_by",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="left_lots",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="pool_id",
            field=models.BigIntegerField(null=True),
        ),
    ]
