"""Orders, their client order ids, and lists of linked orders."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Least
from django.db.models.lookups import GreaterThan

from exchange.domain.enums import (
    LIMIT_TYPES,
    ListKind,
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggerSource,
)
from exchange.models import money_field, word_check

_LIMITS = sorted(str(kind) for kind in LIMIT_TYPES)
_GTD = str(TimeInForce.GTD)
# Columns of an order that are positive where they are not null.
_POSITIVE = (
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
)


class Order(models.Model):
    """One order, from its acceptance to its end. Partitioned by month."""

    id = models.BigIntegerField(primary_key=True)
    account_id = models.BigIntegerField()
    symbol = models.ForeignKey(
        "exchange.Symbol", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    client_order_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=[(side, side) for side in Side])
    type = models.CharField(max_length=20, choices=[(kind, kind) for kind in OrderType])
    time_in_force = models.CharField(max_length=4, choices=[(tif, tif) for tif in TimeInForce])
    post_only = models.BooleanField(default=False)
    self_trade = models.CharField(max_length=16)
    price = money_field(null=True)  # limit price; a market order has none
    bound_price = money_field(null=True)  # protective price of an order without a limit
    reference_price = money_field(null=True)  # best opposite price when a market order came
    quantity = money_field(null=True)  # none for a market order by quote amount
    quote_amount = money_field(null=True)
    stop_price = money_field(null=True)
    trigger_source = models.CharField(  # noqa: DJ001  # none is not ""
        max_length=4, choices=[(source, source) for source in TriggerSource], null=True
    )
    trail_amount = money_field(null=True)
    trail_ppm = models.IntegerField(null=True)
    activation_price = money_field(null=True)
    bound_trail_ppm = models.IntegerField(null=True)  # distance of the bound from the stop price
    # A trailing stop's position when it was last published (orders/recording/trailing.py).
    trail_stop_price = money_field(null=True)
    trail_bound_price = money_field(null=True)
    display_quantity = money_field(null=True)
    expires_at = models.DateTimeField(null=True)
    reprice = models.BooleanField(db_default=False, default=False)
    reprice_limit = money_field(null=True)  # the last price it may be moved to
    list_id = models.BigIntegerField(null=True)  # of orders_orderlist
    group_id = models.BigIntegerField(db_default=0, default=0)  # exchange_accountgroup, 0: none
    owner_tag = models.BigIntegerField(db_default=0, default=0)  # exchange_apikey, 0: a session
    status = models.CharField(max_length=16, choices=[(status, status) for status in OrderStatus])
    filled = money_field(default=0)
    filled_quote = money_field(default=0)
    reason = models.CharField(max_length=48, null=True)  # noqa: DJ001  # none is not ""
    maker_fee_ppm = models.IntegerField()
    taker_fee_ppm = models.IntegerField()
    engine_seq = models.BigIntegerField(null=True)  # none until the worker sequenced it
    priority_seq = models.BigIntegerField(null=True)  # sequence that gave its queue place
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["account_id", "id"], name="order_account"),
            models.Index(
                fields=["id"], condition=Q(engine_seq__isnull=True), name="order_unsequenced"
            ),
            models.Index(fields=["list_id"], condition=Q(list_id__isnull=False), name="order_list"),
        ]
        constraints = [
            word_check("status", OrderStatus, "order_status_known"),
            word_check("side", Side, "order_side_known"),
            word_check("type", OrderType, "order_type_known"),
            word_check("time_in_force", TimeInForce, "order_time_in_force_known"),
            word_check("self_trade", SelfTradePrevention, "order_self_trade_known"),
            word_check("trigger_source", TriggerSource, "order_trigger_source_known"),
            # A limit order has a price; an order that trades as a market order has a bound instead.
            models.CheckConstraint(
                condition=Q(type__in=_LIMITS, price__isnull=False, bound_price__isnull=True)
                | Q(~Q(type__in=_LIMITS), price__isnull=True, bound_price__isnull=False),
                name="order_price_or_bound",
            ),
            models.CheckConstraint(
                condition=Q(time_in_force=_GTD, expires_at__isnull=False)
                | (~Q(time_in_force=_GTD) & Q(expires_at__isnull=True)),
                name="order_expires_iff_gtd",
            ),
            # least() ignores nulls; one expression costs each insert less than many.
            models.CheckConstraint(
                condition=GreaterThan(Least(*_POSITIVE), 0), name="order_amounts_positive"
            ),
            models.CheckConstraint(condition=Q(trail_ppm__gt=0), name="order_trail_ppm_positive"),
            models.CheckConstraint(
                condition=Q(maker_fee_ppm__gte=0, maker_fee_ppm__lte=F("taker_fee_ppm")),
                name="order_fee_range",
            ),
            models.CheckConstraint(
                condition=Q(quantity__isnull=True) | Q(filled__lte=F("quantity")),
                name="order_filled_within_quantity",
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0) | Q(quantity__isnull=True, quote_amount__gt=0),
                name="order_quantity_or_quote_amount",
            ),
            models.CheckConstraint(
                condition=Q(filled__gte=0, filled_quote__gte=0), name="order_filled_not_negative"
            ),
            # Only a sequenced order can be anything but new.
            models.CheckConstraint(
                condition=Q(status=OrderStatus.NEW, engine_seq__isnull=True)
                | (~Q(status=OrderStatus.NEW) & Q(engine_seq__isnull=False)),
                name="order_new_iff_unsequenced",
            ),
            models.CheckConstraint(
                condition=~Q(status=OrderStatus.FILLED)
                | Q(quantity__isnull=True)
                | Q(filled=F("quantity")),
                name="order_filled_means_all",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class ClientOrderId(models.Model):
    """The idempotency gate: one order per account and client order id (L7).

    Unpartitioned on purpose: a unique index on a partitioned table could not span partitions.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.BigIntegerField()
    client_order_id = models.CharField(max_length=64)
    order_id = models.BigIntegerField()
    fingerprint = models.BinaryField(max_length=32)  # of the order's parameters

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "client_order_id"], name="client_order_id_once"
            )
        ]

    def __str__(self) -> str:
        return self.client_order_id


class OrderList(models.Model):
    """A list of linked orders. Its orders name it by `list_id`; their ids give their sequence."""

    id = models.BigIntegerField(primary_key=True)  # also the id of the command that enters it
    account_id = models.BigIntegerField()
    symbol_id = models.BigIntegerField()
    kind = models.CharField(max_length=5, choices=[(kind, kind) for kind in ListKind])
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account_id", "id"], name="orderlist_account")]
        constraints = [word_check("kind", ListKind, "orderlist_kind_known")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
