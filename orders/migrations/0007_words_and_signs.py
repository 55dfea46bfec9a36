"""Words, prices and quantities are held by the database too: from now on, for every new row.

NOT VALID: no table is read, and each lock lasts a moment. The next migration looks at the rows
that are there already.
"""

import django.db.models.functions.comparison
import django.db.models.lookups
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0006_engine_rules")]

    operations = [
        AddConstraintNotValid(
            model_name="command",
            constraint=models.CheckConstraint(
                condition=models.Q(("reserved_extra__gte", 0)), name="command_extra_not_negative"
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("side__in", ["buy", "sell"])), name="order_side_known"
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "type__in",
                        [
                            "limit",
                            "market",
                            "stop_market",
                            "stop_limit",
                            "take_profit",
                            "take_profit_limit",
                            "trailing_stop",
                        ],
                    )
                ),
                name="order_type_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("time_in_force__in", ["gtc", "gtd", "ioc", "fok"])),
                name="order_time_in_force_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "self_trade__in",
                        ["none", "cancel_incoming", "cancel_resting", "cancel_both", "decrement"],
                    )
                ),
                name="order_self_trade_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("trigger_source__in", ["last", "best"])),
                name="order_trigger_source_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("bound_price__isnull", True),
                        ("price__isnull", False),
                        ("type__in", ["limit", "stop_limit", "take_profit_limit"]),
                    ),
                    models.Q(
                        models.Q(
                            ("type__in", ["limit", "stop_limit", "take_profit_limit"]),
                            _negated=True,
                        ),
                        ("bound_price__isnull", False),
                        ("price__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="order_price_or_bound",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("expires_at__isnull", False), ("time_in_force", "gtd")),
                    models.Q(
                        models.Q(("time_in_force", "gtd"), _negated=True),
                        ("expires_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="order_expires_iff_gtd",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.GreaterThan(
                    django.db.models.functions.comparison.Least(
                        "price",
                        "bound_price",
                        "reference_price",
                        "quote_amount",
                        "stop_price",
                        "trail_amount",
                        "activation_price",
                        "display_quantity",
                        "reprice_limit",
                        "trail_stop_price",
                        "trail_bound_price",
                    ),
                    0,
                ),
                name="order_amounts_positive",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("trail_ppm__gt", 0)), name="order_trail_ppm_positive"
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("maker_fee_ppm__gte", 0), ("maker_fee_ppm__lte", models.F("taker_fee_ppm"))
                ),
                name="order_fee_range",
            ),
        ),
        AddConstraintNotValid(
            model_name="orderlist",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["oco", "oto", "otoco"])),
                name="orderlist_kind_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="preventedmatch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "mode__in",
                        ["none", "cancel_incoming", "cancel_resting", "cancel_both", "decrement"],
                    )
                ),
                name="prevented_mode_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="preventedmatch",
            constraint=models.CheckConstraint(
                condition=models.Q(("taker_side__in", ["buy", "sell"])),
                name="prevented_taker_side_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="preventedmatch",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__gt", 0), ("quantity__gt", 0)), name="prevented_positive"
            ),
        ),
        AddConstraintNotValid(
            model_name="scheduledstate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "open",
                            "halt",
                            "pre_open",
                            "auction",
                            "auction_cutoff",
                            "post_only",
                            "cancel_only",
                            "closed",
                        ],
                    )
                ),
                name="scheduledstate_state_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="trade",
            constraint=models.CheckConstraint(
                condition=models.Q(("quote_amount__gt", 0)), name="trade_quote_positive"
            ),
        ),
        AddConstraintNotValid(
            model_name="trade",
            constraint=models.CheckConstraint(
                condition=models.Q(("taker_side__in", ["buy", "sell"])),
                name="trade_taker_side_known",
            ),
        ),
    ]
