"""What became of orders that met: trades, and matches that were prevented."""

from django.db import models
from django.db.models import F, Q

from exchange.domain.enums import (
    SelfTradePrevention,
    Side,
)
from exchange.models import money_field, word_check


class Trade(models.Model):
    """One match; partitioned by day, never updated, never deleted."""

    id = models.BigIntegerField(primary_key=True)
    symbol_id = models.BigIntegerField()
    engine_seq = models.BigIntegerField()
    price = money_field()
    quantity = money_field()
    quote_amount = money_field()
    maker_order_id = models.BigIntegerField()
    taker_order_id = models.BigIntegerField()
    maker_account_id = models.BigIntegerField()
    taker_account_id = models.BigIntegerField()
    taker_side = models.CharField(max_length=4, choices=[(side, side) for side in Side])
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["symbol_id", "id"], name="trade_symbol"),
            models.Index(fields=["maker_order_id"], name="trade_maker_order"),
            models.Index(fields=["taker_order_id"], name="trade_taker_order"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(price__gt=0, quantity__gt=0), name="trade_positive"),
            models.CheckConstraint(condition=Q(quote_amount__gt=0), name="trade_quote_positive"),
            word_check("taker_side", Side, "trade_taker_side_known"),
            # O5: one maker, one taker.
            models.CheckConstraint(
                condition=~Q(maker_order_id=F("taker_order_id")), name="trade_two_orders"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class PreventedMatch(models.Model):
    """A match that self-trade prevention did not let happen, kept for compliance."""

    id = models.BigIntegerField(primary_key=True)
    symbol_id = models.BigIntegerField()
    engine_seq = models.BigIntegerField()
    price = money_field()
    quantity = money_field()
    mode = models.CharField(max_length=16, choices=[(mode, mode) for mode in SelfTradePrevention])
    maker_order_id = models.BigIntegerField()
    taker_order_id = models.BigIntegerField()
    maker_account_id = models.BigIntegerField()
    taker_account_id = models.BigIntegerField()
    taker_side = models.CharField(max_length=4, choices=[(side, side) for side in Side])
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "prevented matches"
        indexes = [
            models.Index(fields=["taker_account_id", "id"], name="prevented_taker"),
            models.Index(fields=["maker_account_id", "id"], name="prevented_maker"),
        ]
        constraints = [
            word_check("mode", SelfTradePrevention, "prevented_mode_known"),
            word_check("taker_side", Side, "prevented_taker_side_known"),
            models.CheckConstraint(
                condition=Q(price__gt=0, quantity__gt=0), name="prevented_positive"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
