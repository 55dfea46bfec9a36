"""Constraints on words and on the signs of amounts, which every new row must satisfy.

NOT VALID: no table is read, and each lock lasts a moment. The next migration validates the rows
that exist already.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exchange", "0008_engine_rules")]

    operations = [
        AddConstraintNotValid(
            model_name="symbol",
            constraint=models.CheckConstraint(
                condition=models.Q(("notional_min__gte", 0)), name="symbol_notional_not_negative"
            ),
        ),
        AddConstraintNotValid(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "self_trade_prevention__in",
                        ["none", "cancel_incoming", "cancel_resting", "cancel_both", "decrement"],
                    )
                ),
                name="user_self_trade_known",
            ),
        ),
    ]
