"""Commands to the engine that are no new order."""

from django.db import models
from django.db.models import Q

from exchange.domain.enums import (
    CommandKind,
)
from exchange.models import money_field, word_check


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
