"""Accounts, balances, reservations and the double-entry ledger: shape and constraints only.

A balance is `available + reserved`; entries record changes of that total. Reserving moves money
inside one balance and makes no entry: the reservations explain the reserved amount (L5).
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from exchange.domain.enums import AccountKind, EntryKind, Side
from exchange.models import money_field, word_check


class Account(models.Model):
    """An owner of balances: a user, the house, its funding account, or the external account."""

    kind = models.CharField(max_length=10, choices=[(kind, kind) for kind in AccountKind])
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="account"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind=AccountKind.USER, user__isnull=False)
                | (~Q(kind=AccountKind.USER) & Q(user__isnull=True)),
                name="account_user_iff_kind_user",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=~Q(kind=AccountKind.USER),
                name="account_one_house_one_external",
            ),
            word_check("kind", AccountKind, "account_kind_known"),
        ]
        permissions = [("fund_account", "Can credit and debit customers' funds")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Balance(models.Model):
    """One account's balance of one asset; only wallets.locks and wallets.reserving change it."""

    # The only index is the one below, by account and asset together. With few rows the planner
    # preferred an index by asset alone and read everybody's balances.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="balances", db_index=False
    )
    asset = models.ForeignKey(
        "exchange.Asset", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    available = money_field(default=0)
    reserved = money_field(default=0)
    may_be_negative = models.BooleanField(default=False)  # house and external accounts
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="balance_one_per_asset"),
            models.CheckConstraint(
                condition=Q(available__gte=0) | Q(may_be_negative=True),
                name="balance_available_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(reserved__gte=0), name="balance_reserved_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.asset_id}"


class Reservation(models.Model):
    """The money reserved for one live order, and all that settlement needs to know of the order.

    Inserted with the order, reduced by each fill, deleted when the order has ended. The matching
    worker never touches reservations and settlement never touches orders, so neither waits for
    the other's locks.
    """

    order_id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    asset_id = models.BigIntegerField()
    symbol_id = models.BigIntegerField()
    side = models.CharField(max_length=4)
    price_ticks = models.BigIntegerField()  # limit price, or a market order's protective bound
    amount = money_field()
    maker_fee_ppm = models.IntegerField()
    taker_fee_ppm = models.IntegerField()
    # Sum of notional atoms x ppm over the order's fills; the order's fee is this / 1e6, rounded up.
    fee_accrued = models.DecimalField(max_digits=60, decimal_places=0, default=0)
    pending_amend_id = models.BigIntegerField(null=True)
    # Set for linked orders. The two orders of a pool share one reservation, and either row may
    # have its amount; the fills of `funded_by`, the parent, pay for a funded order. `left_lots` is
    # also set for an order whose terms changed while an amend was on its way (wallets/linked.py).
    pool_id = models.BigIntegerField(null=True)
    funded_by = models.BigIntegerField(null=True)
    left_lots = models.BigIntegerField(null=True)

    class Meta:
        # Settlement finds an order's family by these partial indexes of linked orders.
        indexes = [
            models.Index(
                fields=["pool_id", "order_id"],
                condition=Q(pool_id__isnull=False),
                name="reservation_pool",
            ),
            models.Index(
                fields=["order_id", "pool_id"],
                condition=Q(pool_id__isnull=False),
                name="reservation_pooled",
            ),
            models.Index(
                fields=["funded_by", "order_id"],
                condition=Q(funded_by__isnull=False),
                name="reservation_funded",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="reservation_not_negative"),
            models.CheckConstraint(
                condition=Q(price_ticks__gt=0, fee_accrued__gte=0), name="reservation_positive"
            ),
            models.CheckConstraint(condition=Q(left_lots__gte=0), name="reservation_left_lots"),
            word_check("side", Side, "reservation_side_known"),
            models.CheckConstraint(
                condition=Q(maker_fee_ppm__gte=0, maker_fee_ppm__lte=F("taker_fee_ppm")),
                name="reservation_fee_range",
            ),
        ]

    def __str__(self) -> str:
        return f"reservation of order {self.order_id}"


class Journal(models.Model):
    """A ledger transaction that is not a trade; its unique key makes it happen once (L7).

    A trade has no row here: its journal id is the trade's id, and settlement's cursor makes it
    happen once.
    """

    id = models.BigIntegerField(primary_key=True)
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in EntryKind])
    key = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [word_check("kind", EntryKind, "journal_kind_known")]

    def __str__(self) -> str:
        return self.key


class Entry(models.Model):
    """One line of the ledger; partitioned by month of `id`, never updated, never deleted (L6).

    Entries of one journal sum to zero per asset (L1): a statement trigger refuses anything else.
    """

    id = models.BigIntegerField(primary_key=True)
    journal_id = models.BigIntegerField()
    account_id = models.BigIntegerField()
    asset_id = models.BigIntegerField()
    amount = money_field()
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in EntryKind])

    class Meta:
        managed = True
        verbose_name_plural = "entries"
        indexes = [models.Index(fields=["account_id", "asset_id", "id"], name="entry_account")]
        constraints = [word_check("kind", EntryKind, "entry_kind_known")]

    def __str__(self) -> str:
        return f"entry {self.pk}"


class AuditMark(models.Model):
    """How far the audit has verified a growing table (wallets/reconciliation.py)."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.BigIntegerField()
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class AuditedBalance(models.Model):
    """The sum of a balance's entries up to the mark `entries`, so that audits need not re-sum."""

    id = models.BigAutoField(primary_key=True)
    account_id = models.BigIntegerField()
    asset_id = models.BigIntegerField()
    total = money_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account_id", "asset_id"], name="audited_balance_one")
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.asset_id}"
