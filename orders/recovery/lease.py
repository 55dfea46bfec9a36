"""Who may write a partition: an epoch in Postgres, and a lease by the database's clock.

The epoch is the fence: every write of a worker carries `WHERE epoch = mine`, so a worker that was
paused, cut off or replaced changes nothing and notices. The lease only decides when a standby may
take over. The lease ends when it is not renewed in time, or at once when the owner's database
session ends: the owner holds a session advisory lock named after its epoch, which ends with the
process.
(The lock needs a direct connection: a transaction pooler in between would hide the session.)
"""

from dataclasses import dataclass
from typing import Any, Final

import psycopg

LEASE_S: Final = 3
# Namespaces our advisory locks: (this + partition, epoch).
_LOCK_SPACE: Final = 0x7A6B_0000

_ENSURE = """
INSERT INTO orders_enginepartition
    (id, epoch, owner, last_seq, published_seq, stream_position, state_hash, feed_sequences,
     updated_at)
VALUES (%(id)s, 0, '', 0, 0, '0-0', '', '{}', clock_timestamp())
ON CONFLICT (id) DO NOTHING
"""
# Every partition has a settlement cursor.
_ENSURE_CURSOR = """
INSERT INTO orders_settlementcursor (partition_id, last_seq, updated_at)
VALUES (%(id)s, 0, clock_timestamp()) ON CONFLICT (partition_id) DO NOTHING
"""
# Seconds since a worker served each partition; negative while a lease runs.
SILENCES: Final = """
SELECT id, extract(epoch FROM clock_timestamp() - greatest(updated_at, lease_until))::float8
FROM orders_enginepartition
"""
# The advisory lock is tried last, only while the lease still runs: otherwise it need not be taken.
# The end of the owner's session frees that lock; this statement never does.
_TAKE = """
UPDATE orders_enginepartition
SET epoch = epoch + 1, owner = %(owner)s, updated_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE id = %(id)s
  AND (lease_until IS NULL OR lease_until < clock_timestamp() OR owner = %(owner)s
       OR pg_try_advisory_xact_lock(%(space)s, (epoch %% 2147483647)::int))
RETURNING epoch, last_seq, published_seq, stream_position, state_hash, feed_sequences
"""
_OWNER = "SELECT owner FROM orders_enginepartition WHERE id = %(id)s"
_HOLD = "SELECT pg_advisory_lock(%(space)s, %(key)s)"
_RELEASE = """
UPDATE orders_enginepartition
SET owner = '', lease_until = NULL, published_seq = %(published_seq)s,
    stream_position = %(stream_position)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND epoch = %(epoch)s
"""
_EXTEND = """
UPDATE orders_enginepartition
SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = %(id)s AND epoch = %(epoch)s
"""
_LET_GO = "SELECT pg_advisory_unlock(%(space)s, %(key)s)"


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition taken over, and the position at which the worker before left it."""

    partition_id: int
    epoch: int
    owner: str
    last_seq: int
    published_seq: int
    stream_position: str
    state_hash: str
    feed_sequences: dict[str, Any]  # see orders/recovery/feeds.py
    is_after_failure: bool = False  # the owner before did not release it


def lease_acquire(connection: psycopg.Connection, *, partition_id: int, owner: str) -> Lease | None:
    """Take the partition over if no worker has its lease, else return None. Never waits."""
    space = _LOCK_SPACE + partition_id
    params = {"id": partition_id, "owner": owner, "space": space, "lease_s": LEASE_S}
    with connection.transaction():
        connection.execute(_ENSURE, params)
        connection.execute(_ENSURE_CURSOR, params)
        before = connection.execute(_OWNER, params).fetchone()
        row = connection.execute(_TAKE, params).fetchone()
        if row is None:
            return None
        epoch, last_seq, published_seq, position, state_hash, feed_sequences = row
        # No other session can hold the lock of an epoch that has only just begun.
        connection.execute(_HOLD, {"space": space, "key": epoch % 2147483647})
    return Lease(
        partition_id=partition_id,
        epoch=epoch,
        owner=owner,
        last_seq=last_seq,
        published_seq=published_seq,
        stream_position=position,
        state_hash=state_hash,
        feed_sequences=feed_sequences,
        is_after_failure=before is not None and before[0] != "",
    )


def lease_extend(connection: psycopg.Connection, lease: Lease, *, seconds: int) -> bool:
    """Extend the lease by `seconds` from now, for instance while the partition is loaded.

    A standby still takes over at once when the owner dies. Returns False when the lease is lost.
    """
    key = {"id": lease.partition_id, "epoch": lease.epoch, "seconds": seconds}
    return connection.execute(_EXTEND, key).rowcount == 1


def lease_release(
    connection: psycopg.Connection, lease: Lease, *, published_seq: int, stream_position: str
) -> bool:
    """Release the partition on a clean stop, so that a standby starts at once.

    Returns False when the lease was lost before.
    """
    key = {"space": _LOCK_SPACE + lease.partition_id, "key": lease.epoch % 2147483647}
    with connection.transaction():
        released = connection.execute(
            _RELEASE,
            {
                "id": lease.partition_id,
                "epoch": lease.epoch,
                "published_seq": published_seq,
                "stream_position": stream_position,
            },
        ).rowcount
        connection.execute(_LET_GO, key)
    return released == 1
