"""The rows that were there before keep to the new constraints, too.

Reads and writes go on meanwhile; one transaction a constraint.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("exchange", "0009_words_and_signs")]

    operations = [
        ValidateConstraint(model_name="symbol", name="symbol_notional_not_negative"),
        ValidateConstraint(model_name="user", name="user_self_trade_known"),
    ]
