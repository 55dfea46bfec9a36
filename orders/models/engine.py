"""One engine's partition: lease, journal, snapshots, faults, and how far settlement is."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


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
