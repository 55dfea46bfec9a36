"""The tables of users, their tiers, groups and API keys, and of security events."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from exchange.domain.enums import SecurityKind, SelfTradePrevention
from exchange.models.fields import word_check


class Tier(models.Model):
    """A group of users with the same limits and fees."""

    name = models.CharField(max_length=40, unique=True)
    orders_per_second = models.PositiveIntegerField(
        default=10, help_text="Orders a second and user; 0 means no limit."
    )
    cancels_per_second = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Cancels a second and user; empty: five for each order; 0 means no limit.",
    )
    reads_per_second = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Weight of reads a second and user (docs/limits.md); empty: what the settings"
        " say, and no limit where orders have none; 0 means no limit.",
    )
    may_self_trade = models.BooleanField(
        default=False, help_text="May switch self-trade prevention off (market makers)."
    )
    is_default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="tier_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name


class AccountGroup(models.Model):
    """Users who count as one for self-trade prevention, such as traders of one firm."""

    name = models.CharField(max_length=60, unique=True)

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person or bot that signs in. Money belongs to the account in wallets, not to the user."""

    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, null=True, blank=True)
    is_suspended = models.BooleanField(
        default=False, help_text="May sign in, read and cancel, but not place or amend."
    )
    group = models.ForeignKey(
        AccountGroup,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="Orders of one group do not trade with each other.",
    )
    self_trade_prevention = models.CharField(
        max_length=16,
        choices=[(mode, mode) for mode in SelfTradePrevention],
        default=SelfTradePrevention.CANCEL_INCOMING,
        db_default=SelfTradePrevention.CANCEL_INCOMING,
        help_text="For orders that name no mode.",
    )
    session_epoch = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Sessions of an earlier one have ended."
    )

    orders_end = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="While suspended or inactive: whatever is live of theirs is cancelled.",
    )

    class Meta(AbstractUser.Meta):
        indexes = [
            models.Index(fields=["id"], condition=models.Q(orders_end=True), name="user_orders_end")
        ]
        permissions = [
            ("suspend_user", "Can suspend, deactivate and readmit customers"),
            ("end_access", "Can revoke customers' API keys and end their sessions"),
        ]
        constraints = [
            word_check("self_trade_prevention", SelfTradePrevention, "user_self_trade_known")
        ]

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return the hash that each session carries: of the password, with the session epoch."""
        of_password: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        return f"{of_password}.{self.session_epoch}" if self.session_epoch else of_password


class ApiKey(models.Model):
    """A key that signs requests. Its secret is encrypted, not hashed: an HMAC needs it."""

    key_id = models.CharField(max_length=40, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    label = models.CharField(max_length=60, blank=True)
    secret_encrypted = models.BinaryField(max_length=500)
    can_read = models.BooleanField(default=True)
    can_trade = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.key_id


class PrincipalChange(models.Model):
    """A note that something changed of what the principals of a user are made of.

    Without a user it is of all of them. Triggers write the notes and, after a day, delete them
    (migrations/0011); exchange/access/principal_changes.py reads them.
    """

    user_id = models.BigIntegerField(null=True)  # no reference: a deleted user is a change as well
    transaction = models.BigIntegerField(db_index=True)
    noted_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.user_id} {self.noted_at}"


class SecurityEvent(models.Model):
    """A security event: who did what, to whom, from where. Never changed or deleted.

    The table is partitioned by month of `id`. Only exchange/access/security_events.py writes rows.
    """

    id = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=20, choices=[(kind, kind) for kind in SecurityKind])
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+"
    )
    subject = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+"
    )
    name = models.CharField(max_length=64, blank=True, help_text="As it was typed at a sign-in.")
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    target = models.CharField(max_length=120, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["actor", "id"], name="securityevent_actor"),
            models.Index(fields=["subject", "id"], name="securityevent_subject"),
            models.Index(fields=["kind", "id"], name="securityevent_kind"),
            models.Index(fields=["address", "id"], name="securityevent_address"),
            models.Index(fields=["request_id", "id"], name="securityevent_request"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=[str(kind) for kind in SecurityKind]),
                name="securityevent_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
