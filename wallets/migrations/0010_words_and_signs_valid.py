"""Validate the constraints of 0009 on the rows that existed before.

Reads and writes continue meanwhile; each constraint has its own transaction.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("wallets", "0009_words_and_signs")]

    operations = [
        ValidateConstraint(model_name="account", name="account_kind_known"),
        ValidateConstraint(model_name="entry", name="entry_kind_known"),
        ValidateConstraint(model_name="journal", name="journal_kind_known"),
        ValidateConstraint(model_name="reservation", name="reservation_positive"),
        ValidateConstraint(model_name="reservation", name="reservation_left_lots"),
        ValidateConstraint(model_name="reservation", name="reservation_side_known"),
    ]
