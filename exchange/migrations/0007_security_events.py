"""The append-only table of security events, and the epoch of a user's valid sessions.

A trigger refuses to change or delete rows; adminpanel's first migration takes these rights from the
application role as well. A month past its retention is detached as a whole
(exchange/infra/partitions.py).
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from exchange.infra.partitioned import CreatePartitionedModel

KINDS = (
    "sign_in", "sign_in_failed", "sign_out", "sessions_ended", "password_changed", "key_made",
    "key_revoked", "user_made", "suspended", "unsuspended", "deactivated", "reactivated",
    "funds_moved", "staff_added", "staff_changed", "staff_deleted", "staff_acted",
)  # fmt: skip

GUARDS = """
ALTER TABLE exchange_securityevent ADD CONSTRAINT securityevent_detail_bounded
    CHECK (octet_length(detail::text) <= 8192);
CREATE TRIGGER securityevent_append_only BEFORE UPDATE OR DELETE ON exchange_securityevent
    FOR EACH ROW EXECUTE FUNCTION takas_refuse_change();
"""
UNDO = """
DROP TRIGGER securityevent_append_only ON exchange_securityevent;
ALTER TABLE exchange_securityevent DROP CONSTRAINT securityevent_detail_bounded;
"""


def user_key() -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0006_tier_rates"),
        ("wallets", "0002_ledger_guards"),  # takas_refuse_change
    ]

    operations = [
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": [
                    ("suspend_user", "Can suspend, deactivate and readmit customers"),
                    ("end_access", "Can revoke customers' API keys and end their sessions"),
                ],
                "verbose_name": "user",
                "verbose_name_plural": "users",
            },
        ),
        migrations.AddField(
            model_name="user",
            name="session_epoch",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Sessions of an earlier one have ended.",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="orders_end",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="While suspended or inactive: whatever is live of theirs is cancelled.",
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="is_suspended",
            field=models.BooleanField(
                default=False, help_text="May sign in, read and cancel, but not place or amend."
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                condition=models.Q(("orders_end", True)), fields=["id"], name="user_orders_end"
            ),
        ),
        CreatePartitionedModel(
            name="SecurityEvent",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "kind",
                    models.CharField(choices=[(kind, kind) for kind in KINDS], max_length=20),
                ),
                (
                    "name",
                    models.CharField(
                        blank=True, help_text="As it was typed at a sign-in.", max_length=64
                    ),
                ),
                ("address", models.CharField(blank=True, max_length=45)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("target", models.CharField(blank=True, max_length=120)),
                ("detail", models.JSONField(default=dict)),
                ("actor", user_key()),
                ("subject", user_key()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["actor", "id"], name="securityevent_actor"),
                    models.Index(fields=["subject", "id"], name="securityevent_subject"),
                    models.Index(fields=["kind", "id"], name="securityevent_kind"),
                    models.Index(fields=["address", "id"], name="securityevent_address"),
                    models.Index(fields=["request_id", "id"], name="securityevent_request"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(kind__in=list(KINDS)), name="securityevent_kind_known"
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, UNDO),
    ]
