"""Tables of the audit: how far it has verified growing tables, and the sums up to there."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wallets", "0003_house_accounts")]

    operations = [
        migrations.CreateModel(
            name="AuditMark",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField()),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="AuditedBalance",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("account_id", models.BigIntegerField()),
                ("asset_id", models.BigIntegerField()),
                ("total", models.DecimalField(decimal_places=18, max_digits=38)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account_id", "asset_id"), name="audited_balance_one"
                    )
                ],
            },
        ),
    ]
