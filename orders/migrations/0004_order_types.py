"""Columns of the other order types, order lists, engine images, prevented matches, schedules."""

import django.db.models.deletion
from django.db import migrations, models

import exchange.domain.enums


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0005_order_types_and_states"),
        ("orders", "0003_application_role"),
    ]

    operations = [
        migrations.CreateModel(
            name="EngineImage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("partition_id", models.IntegerField()),
                ("last_seq", models.BigIntegerField()),
                ("image", models.BinaryField()),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="OrderList",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("account_id", models.BigIntegerField()),
                ("symbol_id", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            (
                                exchange.domain.enums.ListKind["OCO"],
                                exchange.domain.enums.ListKind["OCO"],
                            ),
                            (
                                exchange.domain.enums.ListKind["OTO"],
                                exchange.domain.enums.ListKind["OTO"],
                            ),
                            (
                                exchange.domain.enums.ListKind["OTOCO"],
                                exchange.domain.enums.ListKind["OTOCO"],
                            ),
                        ],
                        max_length=5,
                    ),
                ),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="PreventedMatch",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("symbol_id", models.BigIntegerField()),
                ("engine_seq", models.BigIntegerField()),
                ("price", models.DecimalField(decimal_places=18, max_digits=38)),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            (
                                exchange.domain.enums.SelfTradePrevention["NONE"],
                                exchange.domain.enums.SelfTradePrevention["NONE"],
                            ),
                            (
                                exchange.domain.enums.SelfTradePrevention["CANCEL_INCOMING"],
                                exchange.domain.enums.SelfTradePrevention["CANCEL_INCOMING"],
                            ),
                            (
                                exchange.domain.enums.SelfTradePrevention["CANCEL_RESTING"],
                                exchange.domain.enums.SelfTradePrevention["CANCEL_RESTING"],
                            ),
                            (
                                exchange.domain.enums.SelfTradePrevention["CANCEL_BOTH"],
                                exchange.domain.enums.SelfTradePrevention["CANCEL_BOTH"],
                            ),
                            (
                                exchange.domain.enums.SelfTradePrevention["DECREMENT"],
                                exchange.domain.enums.SelfTradePrevention["DECREMENT"],
                            ),
                        ],
                        max_length=16,
                    ),
                ),
                ("maker_order_id", models.BigIntegerField()),
                ("taker_order_id", models.BigIntegerField()),
                ("maker_account_id", models.BigIntegerField()),
                ("taker_account_id", models.BigIntegerField()),
                (
                    "taker_side",
                    models.CharField(
                        choices=[
                            (exchange.domain.enums.Side["BUY"], exchange.domain.enums.Side["BUY"]),
                            (
                                exchange.domain.enums.Side["SELL"],
                                exchange.domain.enums.Side["SELL"],
                            ),
                        ],
                        max_length=4,
                    ),
                ),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "prevented matches",
            },
        ),
        migrations.CreateModel(
            name="ScheduledState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            (
                                exchange.domain.enums.SymbolState["OPEN"],
                                exchange.domain.enums.SymbolState["OPEN"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["HALT"],
                                exchange.domain.enums.SymbolState["HALT"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["PRE_OPEN"],
                                exchange.domain.enums.SymbolState["PRE_OPEN"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["AUCTION"],
                                exchange.domain.enums.SymbolState["AUCTION"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["AUCTION_CUTOFF"],
                                exchange.domain.enums.SymbolState["AUCTION_CUTOFF"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["POST_ONLY"],
                                exchange.domain.enums.SymbolState["POST_ONLY"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["CANCEL_ONLY"],
                                exchange.domain.enums.SymbolState["CANCEL_ONLY"],
                            ),
                            (
                                exchange.domain.enums.SymbolState["CLOSED"],
                                exchange.domain.enums.SymbolState["CLOSED"],
                            ),
                        ],
                        max_length=16,
                    ),
                ),
                ("at", models.TimeField(help_text="Time of day, UTC.")),
                (
                    "weekdays",
                    models.CharField(
                        blank=True,
                        help_text="Digits: 1 is Monday, 7 Sunday. Empty with a date.",
                        max_length=7,
                    ),
                ),
                (
                    "on_date",
                    models.DateField(blank=True, help_text="Once, on this day.", null=True),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("last_due_at", models.DateTimeField(editable=False, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="command",
            name="command_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="order_status_known",
        ),
        migrations.AddField(
            model_name="order",
            name="activation_price",
            field=models.DecimalField(decimal_places=18, max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="display_quantity",
            field=models.DecimalField(decimal_places=18, max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="expires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="group_id",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="order",
            name="list_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="owner_tag",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="order",
            name="reference_price",
            field=models.DecimalField(decimal_places=18, max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="reprice",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="order",
            name="stop_price",
            field=models.DecimalField(decimal_places=18, max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trail_amount",
            field=models.DecimalField(decimal_places=18, max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trail_ppm",
            field=models.IntegerField(null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trigger_source",
            field=models.CharField(
                choices=[
                    (
                        exchange.domain.enums.TriggerSource["LAST"],
                        exchange.domain.enums.TriggerSource["LAST"],
                    ),
                    (
                        exchange.domain.enums.TriggerSource["BEST"],
                        exchange.domain.enums.TriggerSource["BEST"],
                    ),
                ],
                max_length=4,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="command",
            name="kind",
            field=models.CharField(
                choices=[
                    (
                        exchange.domain.enums.CommandKind["CANCEL"],
                        exchange.domain.enums.CommandKind["CANCEL"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["AMEND"],
                        exchange.domain.enums.CommandKind["AMEND"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["CANCEL_ALL"],
                        exchange.domain.enums.CommandKind["CANCEL_ALL"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["SET_STATE"],
                        exchange.domain.enums.CommandKind["SET_STATE"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["CANCEL_AFTER"],
                        exchange.domain.enums.CommandKind["CANCEL_AFTER"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["SET_BAND"],
                        exchange.domain.enums.CommandKind["SET_BAND"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["SET_LIMITS"],
                        exchange.domain.enums.CommandKind["SET_LIMITS"],
                    ),
                    (
                        exchange.domain.enums.CommandKind["SET_FEATURE"],
                        exchange.domain.enums.CommandKind["SET_FEATURE"],
                    ),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="status",
            field=models.CharField(
                choices=[
                    (
                        exchange.domain.enums.OrderStatus["NEW"],
                        exchange.domain.enums.OrderStatus["NEW"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["WAITING"],
                        exchange.domain.enums.OrderStatus["WAITING"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["OPEN"],
                        exchange.domain.enums.OrderStatus["OPEN"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["PARTIALLY_FILLED"],
                        exchange.domain.enums.OrderStatus["PARTIALLY_FILLED"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["FILLED"],
                        exchange.domain.enums.OrderStatus["FILLED"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["CANCELLED"],
                        exchange.domain.enums.OrderStatus["CANCELLED"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["REJECTED"],
                        exchange.domain.enums.OrderStatus["REJECTED"],
                    ),
                    (
                        exchange.domain.enums.OrderStatus["EXPIRED"],
                        exchange.domain.enums.OrderStatus["EXPIRED"],
                    ),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="time_in_force",
            field=models.CharField(
                choices=[
                    (
                        exchange.domain.enums.TimeInForce["GTC"],
                        exchange.domain.enums.TimeInForce["GTC"],
                    ),
                    (
                        exchange.domain.enums.TimeInForce["GTD"],
                        exchange.domain.enums.TimeInForce["GTD"],
                    ),
                    (
                        exchange.domain.enums.TimeInForce["IOC"],
                        exchange.domain.enums.TimeInForce["IOC"],
                    ),
                    (
                        exchange.domain.enums.TimeInForce["FOK"],
                        exchange.domain.enums.TimeInForce["FOK"],
                    ),
                ],
                max_length=4,
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="type",
            field=models.CharField(
                choices=[
                    (
                        exchange.domain.enums.OrderType["LIMIT"],
                        exchange.domain.enums.OrderType["LIMIT"],
                    ),
                    (
                        exchange.domain.enums.OrderType["MARKET"],
                        exchange.domain.enums.OrderType["MARKET"],
                    ),
                    (
                        exchange.domain.enums.OrderType["STOP_MARKET"],
                        exchange.domain.enums.OrderType["STOP_MARKET"],
                    ),
                    (
                        exchange.domain.enums.OrderType["STOP_LIMIT"],
                        exchange.domain.enums.OrderType["STOP_LIMIT"],
                    ),
                    (
                        exchange.domain.enums.OrderType["TAKE_PROFIT"],
                        exchange.domain.enums.OrderType["TAKE_PROFIT"],
                    ),
                    (
                        exchange.domain.enums.OrderType["TAKE_PROFIT_LIMIT"],
                        exchange.domain.enums.OrderType["TAKE_PROFIT_LIMIT"],
                    ),
                    (
                        exchange.domain.enums.OrderType["TRAILING_STOP"],
                        exchange.domain.enums.OrderType["TRAILING_STOP"],
                    ),
                ],
                max_length=20,
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("list_id__isnull", False)),
                fields=["list_id"],
                name="order_list",
            ),
        ),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "cancel",
                            "amend",
                            "cancel_all",
                            "set_state",
                            "cancel_after",
                            "set_band",
                            "set_limits",
                            "set_feature",
                        ],
                    )
                ),
                name="command_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "new",
                            "waiting",
                            "open",
                            "partially_filled",
                            "filled",
                            "cancelled",
                            "rejected",
                            "expired",
                        ],
                    )
                ),
                name="order_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="engineimage",
            constraint=models.UniqueConstraint(
                fields=("partition_id", "last_seq"), name="image_position"
            ),
        ),
        migrations.AddIndex(
            model_name="orderlist",
            index=models.Index(fields=["account_id", "id"], name="orderlist_account"),
        ),
        migrations.AddIndex(
            model_name="preventedmatch",
            index=models.Index(fields=["taker_account_id", "id"], name="prevented_taker"),
        ),
        migrations.AddIndex(
            model_name="preventedmatch",
            index=models.Index(fields=["maker_account_id", "id"], name="prevented_maker"),
        ),
        migrations.AddField(
            model_name="scheduledstate",
            name="symbol",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, to="exchange.symbol"
            ),
        ),
        migrations.AddConstraint(
            model_name="scheduledstate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("on_date__isnull", True), ("weekdays__regex", "^[1-7]+$")),
                    models.Q(("on_date__isnull", False), ("weekdays", "")),
                    _connector="OR",
                ),
                name="scheduledstate_weekdays_or_date",
            ),
        ),
        migrations.AddConstraint(
            model_name="scheduledstate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", exchange.domain.enums.SymbolState["CLOSED"]), _negated=True
                ),
                name="scheduledstate_never_closed",
            ),
        ),
    ]
