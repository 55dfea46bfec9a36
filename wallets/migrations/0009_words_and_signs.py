"""Constraints on words, prices and quantities, checked by the database for every new row.

NOT VALID: no table is read, and each lock lasts a moment. The next migration validates the
existing rows.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wallets", "0008_funding_and_accounts")]

    operations = [
        AddConstraintNotValid(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["user", "house", "external", "funding"])),
                name="account_kind_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["trade", "fee", "deposit", "withdrawal", "adjustment", "funding"])
                ),
                name="entry_kind_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="journal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["trade", "fee", "deposit", "withdrawal", "adjustment", "funding"])
                ),
                name="journal_kind_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("fee_accrued__gte", 0), ("price_ticks__gt", 0)),
                name="reservation_positive",
            ),
        ),
        AddConstraintNotValid(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("left_lots__gte", 0)), name="reservation_left_lots"
            ),
        ),
        AddConstraintNotValid(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("side__in", ["buy", "sell"])), name="reservation_side_known"
            ),
        ),
    ]
