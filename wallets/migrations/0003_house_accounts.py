"""The two accounts that always exist: the house, and the outside world."""

from django.db import migrations

HOUSE_AND_EXTERNAL = """
INSERT INTO wallets_account (kind, created_at)
VALUES ('house', now()), ('external', now()) ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("wallets", "0002_ledger_guards")]

    operations = [
        migrations.RunSQL(
            HOUSE_AND_EXTERNAL, "DELETE FROM wallets_account WHERE kind IN ('house', 'external')"
        )
    ]
