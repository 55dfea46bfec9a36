"""The house's funding account, and a trading account for every user who has none."""

from django.db import migrations, models

ACCOUNT_KINDS = ("user", "house", "external", "funding")
ENTRY_KINDS = ("trade", "fee", "deposit", "withdrawal", "adjustment", "funding")

FUNDING = "INSERT INTO wallets_account (kind, created_at) VALUES ('funding', now())"
# Fails on purpose when the funding account has entries or changed balances.
FUNDING_UNDO = """
DELETE FROM wallets_balance USING wallets_account AS account
WHERE account.id = account_id AND account.kind = 'funding' AND version = 0;
DELETE FROM wallets_account WHERE kind = 'funding'
"""
ACCOUNTS = """
INSERT INTO wallets_account (kind, user_id, created_at)
SELECT 'user', person.id, now() FROM exchange_user AS person
WHERE NOT EXISTS (SELECT FROM wallets_account WHERE user_id = person.id)
"""


def kind_field(kinds: tuple[str, ...], length: int) -> models.CharField:
    return models.CharField(choices=[(kind, kind) for kind in kinds], max_length=length)


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0007_security_events"),
        ("wallets", "0007_balance_by_both"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="account",
            options={"permissions": [("fund_account", "Can credit and debit customers' funds")]},
        ),
        migrations.AlterField(
            model_name="account", name="kind", field=kind_field(ACCOUNT_KINDS, 10)
        ),
        migrations.AlterField(model_name="entry", name="kind", field=kind_field(ENTRY_KINDS, 12)),
        migrations.AlterField(model_name="journal", name="kind", field=kind_field(ENTRY_KINDS, 12)),
        migrations.RunSQL(FUNDING, FUNDING_UNDO),
        migrations.RunSQL(ACCOUNTS, migrations.RunSQL.noop),
    ]
