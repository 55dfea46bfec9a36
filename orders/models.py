"""Orders, commands, trades and the engine's journal: shape and constraints only.

Only the package orders writes these tables: intake inserts (orders/intake), the worker's results
update (orders/recording/results.py). Orders and trades are partitioned by ranges of their
time-ordered ids, so no foreign key can point to them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Least
from django.db.models.lookups import GreaterThan

from exchange.domain.enums import (
    LIMIT_TYPES,
    CommandKind,
    ListKind,
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    Side,
    SymbolState,
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


class Command(models.Model):
    """A command to the engine that is no new order, and its outcome."""

    id = models.BigIntegerField(primary_key=True)
    partition_id = models.IntegerField()
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in CommandKind])
    symbol_id = models.BigIntegerField()
    account_id = models.BigIntegerField(null=True)
    order_id = models.BigIntegerField(null=True)
    payload = models.BinaryField()  # matching.state.codec.encode_command
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
            # An order's last command is at the end of its range.
            models.Index(fields=["order_id", "id"], name="command_of_order"),
        ]
        constraints = [
            word_check("kind", CommandKind, "command_kind_known"),
            models.CheckConstraint(
                condition=Q(reserved_extra__gte=0), name="command_extra_not_negative"
            ),
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
            models.CheckConstraint(condition=Q(quote_amount__gt=0), name="trade_quote_positive"),
            word_check("taker_side", Side, "trade_taker_side_known"),
            # O5: one maker, one taker.
            models.CheckConstraint(
                condition=~Q(maker_order_id=F("taker_order_id")), name="trade_two_orders"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class EnginePartition(models.Model):
    """The one writer of a group of symbols: its owner, its lease and its checkpoint."""

    id = models.IntegerField(primary_key=True)
    epoch = models.BigIntegerField(default=0)
    owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)
    last_seq = models.BigIntegerField(default=0)
    published_seq = models.BigIntegerField(default=0)
    stream_position = models.CharField(max_length=40, default="0-0")
    state_hash = models.CharField(max_length=64, blank=True)
    feed_sequences = models.JSONField(default=dict)  # see orders/recovery/feeds.py
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"partition {self.pk}"


class EngineJournal(models.Model):
    """One batch of the engine: its commands and events, its frames, and the state hash after it.

    Settlement reads the rows in order; republishing after a crash and replays read them too.
    """

    id = models.BigAutoField(primary_key=True)
    partition_id = models.IntegerField()
    epoch = models.BigIntegerField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    events = models.BinaryField()  # matching.state.codec.encode_journal
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


class EngineImage(models.Model):
    """A snapshot: a partition's whole engine state after a sequence (matching/state/snapshot.py).

    It is written where order rows alone do not hold that state. The journal after it is applied to
    it.
    """

    id = models.BigAutoField(primary_key=True)
    partition_id = models.IntegerField()
    last_seq = models.BigIntegerField()
    image = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["partition_id", "last_seq"], name="image_position")
        ]

    def __str__(self) -> str:
        return f"{self.partition_id}: {self.last_seq}"


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


class ScheduledState(models.Model):
    """A market state that a symbol enters by the clock, in UTC: on some weekdays, or on one day."""

    symbol = models.ForeignKey("exchange.Symbol", on_delete=models.CASCADE)
    state = models.CharField(max_length=16, choices=[(state, state) for state in SymbolState])
    at = models.TimeField(help_text="Time of day, UTC.")
    weekdays = models.CharField(
        max_length=7, blank=True, help_text="Digits: 1 is Monday, 7 Sunday. Empty with a date."
    )
    on_date = models.DateField(null=True, blank=True, help_text="Once, on this day.")
    is_active = models.BooleanField(default=True)
    last_due_at = models.DateTimeField(null=True, editable=False)  # sent or passed last

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(on_date__isnull=True, weekdays__regex=r"^[1-7]+$")
                | Q(on_date__isnull=False, weekdays=""),
                name="scheduledstate_weekdays_or_date",
            ),
            models.CheckConstraint(
                condition=~Q(state=SymbolState.CLOSED), name="scheduledstate_never_closed"
            ),
            word_check("state", SymbolState, "scheduledstate_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.state} at {self.at} UTC"


class EngineFault(models.Model):
    """A command that made the engine raise. The engine refuses it from then on."""

    command_id = models.BigIntegerField(primary_key=True)
    partition_id = models.IntegerField()
    symbol_id = models.BigIntegerField()
    error = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"fault of command {self.command_id}"


class SettlementCursor(models.Model):
    """The sequence up to which a partition's events are in the ledger."""

    partition_id = models.IntegerField(primary_key=True)
    last_seq = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"settled to {self.last_seq}"
