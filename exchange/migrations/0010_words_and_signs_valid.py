"""Validation of the rows that are older than the constraints of 0009.

Reads and writes go on meanwhile; each constraint has a transaction of its own.
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
