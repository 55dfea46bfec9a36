"""The rows that were there before keep to the new constraints, too.

Reads and writes go on meanwhile; one transaction a constraint.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0007_words_and_signs")]

    operations = [
        ValidateConstraint(model_name="command", name="command_extra_not_negative"),
        ValidateConstraint(model_name="order", name="order_side_known"),
        ValidateConstraint(model_name="order", name="order_type_known"),
        ValidateConstraint(model_name="order", name="order_time_in_force_known"),
        ValidateConstraint(model_name="order", name="order_self_trade_known"),
        ValidateConstraint(model_name="order", name="order_trigger_source_known"),
        ValidateConstraint(model_name="order", name="order_price_or_bound"),
        ValidateConstraint(model_name="order", name="order_expires_iff_gtd"),
        ValidateConstraint(model_name="order", name="order_amounts_positive"),
        ValidateConstraint(model_name="order", name="order_trail_ppm_positive"),
        ValidateConstraint(model_name="order", name="order_fee_range"),
        ValidateConstraint(model_name="orderlist", name="orderlist_kind_known"),
        ValidateConstraint(model_name="preventedmatch", name="prevented_mode_known"),
        ValidateConstraint(model_name="preventedmatch", name="prevented_taker_side_known"),
        ValidateConstraint(model_name="preventedmatch", name="prevented_positive"),
        ValidateConstraint(model_name="scheduledstate", name="scheduledstate_state_known"),
        ValidateConstraint(model_name="trade", name="trade_quote_positive"),
        ValidateConstraint(model_name="trade", name="trade_taker_side_known"),
    ]
