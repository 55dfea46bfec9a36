"""Orders, commands, trades and the engine's journal: shape and constraints only.

Written by orders alone: intake inserts (orders/intake.py), the worker's results update
(orders/results.py). Orders and trades are partitioned by ranges of their time-ordered ids, so
nothing has a real foreign key into them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from exchange.domain.enums import CommandKind, OrderStatus, OrderType, Side, TimeInForce
from exchange.models import money_field


class Order(models.Model):
    """One order, from its acceptance to its end. Partitioned by month."""

    id = models.BigIntegerField(primary_key=True)
    account_id = models.BigIntegerField()
    symbol = models.ForeignKey(
        "exchange.Symbol", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    client_order_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=[(side, side) for side in Side])
    type = models.CharField(max_length=8, choices=[(kind, kind) for kind in OrderType])
    time_in_force = models.CharField(max_length=4, choices=[(tif, tif) for tif in TimeInForce])
    post_only = models.BooleanField(default=False)
    self_trade = models.CharField(max_length=16)
    price = money_field(null=True)  # limit price; a market order has none
    bound_price = money_field(null=True)  # a market order's protective price
    quantity = money_field(null=True)  # none for a market order by quote amount
    quote_amount = money_field(null=True)
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
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[str(status) for status in OrderStatus]),
                name="order_status_known",
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


class Command(models.Model):
    """A cancel, amend, cancel-all or state change on its way to the engine, and what came of it."""

    id = models.BigIntegerField(primary_key=True)
    partition_id = models.IntegerField()
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in CommandKind])
    symbol_id = models.BigIntegerField()
    account_id = models.BigIntegerField(null=True)
    order_id = models.BigIntegerField(null=True)
    payload = models.BinaryField()  # matching.codec.encode_command
    reserved_extra = money_field(default=0)  # an amend's extra reservation
    engine_seq = models.BigIntegerField(null=True)
    refusal = models.CharField(max_length=48, null=True)  # noqa: DJ001  # none is not ""
    requested_by = models.BigIntegerField(null=True)  # user id
    note = models.CharField(max_length=200, blank=True)  # a halt's reason
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(
                fields=["id"], condition=Q(engine_seq__isnull=True), name="command_unsequenced"
            ),
            models.Index(fields=["order_id"], name="command_order"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[str(kind) for kind in CommandKind]), name="command_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


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
            # O5: one maker, one taker.
            models.CheckConstraint(
                condition=~Q(maker_order_id=F("taker_order_id")), name="trade_two_orders"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class EnginePartition(models.Model):
    """The one writer of a group of symbols: who it is, until when, and where it stands."""

    id = models.IntegerField(primary_key=True)
    epoch = models.BigIntegerField(default=0)
    owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)
    last_seq = models.BigIntegerField(default=0)
    published_seq = models.BigIntegerField(default=0)
    stream_position = models.CharField(max_length=40, default="0-0")
    state_hash = models.CharField(max_length=64, blank=True)
    feed_sequences = models.JSONField(default=dict)  # symbol id -> depth sequence
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"partition {self.pk}"


class EngineJournal(models.Model):
    """One batch of the engine: its commands and events, what was published, and the state after.

    Settlement reads it in order; republishing after a crash and replays read it too.
    """

    id = models.BigAutoField(primary_key=True)
    partition_id = models.IntegerField()
    epoch = models.BigIntegerField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    events = models.BinaryField()  # matching.codec.encode_journal
    frames = models.BinaryField()  # msgpack list of [topic, frame]
    trade_ids = ArrayField(models.BigIntegerField(), default=list)  # in event order
    state_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["partition_id", "last_seq"], name="journal_position"),
            models.CheckConstraint(
                condition=Q(last_seq__gte=F("first_seq")), name="journal_sequence_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partition_id}: {self.first_seq}-{self.last_seq}"


class EngineFault(models.Model):
    """A command that made the engine raise: it is refused from then on, with this on record."""

    command_id = models.BigIntegerField(primary_key=True)
    partition_id = models.IntegerField()
    symbol_id = models.BigIntegerField()
    error = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"fault of command {self.command_id}"


class SettlementCursor(models.Model):
    """Up to which sequence a partition's events are in the ledger."""

    partition_id = models.IntegerField(primary_key=True)
    last_seq = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"settled to {self.last_seq}"
