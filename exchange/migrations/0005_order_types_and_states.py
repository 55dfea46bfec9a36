"""Market states, band and interruption settings of symbols; groups and self-trade modes."""

import django.db.models.deletion
from django.db import migrations, models

import exchange.domain.enums


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0004_symbol_grid_guard"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountGroup",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60, unique=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="symbol",
            name="symbol_state_known",
        ),
        migrations.AddField(
            model_name="symbol",
            name="band_move_after_s",
            field=models.PositiveIntegerField(
                db_default=30,
                default=30,
                help_text="The band's reference stands at least this long.",
            ),
        ),
        migrations.AddField(
            model_name="symbol",
            name="band_move_ppm",
            field=models.PositiveIntegerField(
                db_default=10000,
                default=10000,
                help_text="The band's reference moves by at least this, in millionths.",
            ),
        ),
        migrations.AddField(
            model_name="symbol",
            name="interruption_auction_s",
            field=models.PositiveIntegerField(
                db_default=60,
                default=60,
                help_text="Length of the auction after a volatility pause in seconds.",
            ),
        ),
        migrations.AddField(
            model_name="symbol",
            name="interruption_limit_s",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Seconds at the band's edge before trading pauses; 0: it never does.",
            ),
        ),
        migrations.AddField(
            model_name="symbol",
            name="interruption_pause_s",
            field=models.PositiveIntegerField(
                db_default=300, default=300, help_text="Length of a volatility pause in seconds."
            ),
        ),
        migrations.AddField(
            model_name="symbol",
            name="stop_orders_max",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Orders a user may have waiting here; 0 means no limit.",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="self_trade_prevention",
            field=models.CharField(
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
                db_default=exchange.domain.enums.SelfTradePrevention["CANCEL_INCOMING"],
                default=exchange.domain.enums.SelfTradePrevention["CANCEL_INCOMING"],
                help_text="For orders that name no mode.",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="symbol",
            name="band_ppm",
            field=models.PositiveIntegerField(
                default=0, help_text="Prices within this of the reference, in millionths; 0: off."
            ),
        ),
        migrations.AlterField(
            model_name="symbol",
            name="state",
            field=models.CharField(
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
                default=exchange.domain.enums.SymbolState["OPEN"],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="symbol",
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
                name="symbol_state_known",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="group",
            field=models.ForeignKey(
                blank=True,
                help_text="Orders of one group do not trade with each other.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="exchange.accountgroup",
            ),
        ),
    ]
