"""The rows that were there before keep to the new constraints, too.

Reads and writes go on meanwhile; one transaction a constraint.
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
