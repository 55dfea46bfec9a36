"""orders.recovery.lease: one writer a partition; who may take it over, and when (F8, F9)."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from exchange.infra.database import connect
from orders.recovery.lease import LEASE_S, Lease, lease_acquire, lease_release
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
PARTITIONS = itertools.count(500)


@pytest.fixture
def partition_id() -> int:
    return next(PARTITIONS)


@pytest.fixture
def two() -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    with connect("test-first") as first, connect("test-second") as second:
        yield first, second


def acquire(connection: psycopg.Connection, partition_id: int, owner: str) -> Lease | None:
    return lease_acquire(connection, partition_id=partition_id, owner=owner)


def expire(connection: psycopg.Connection, partition_id: int) -> None:
    connection.execute(
        "UPDATE orders_enginepartition SET lease_until = clock_timestamp() - interval '1 ms'"
        " WHERE id = %s",
        (partition_id,),
    )


def test_a_standby_waits_while_the_lease_runs(
    two: tuple[psycopg.Connection, psycopg.Connection], partition_id: int
) -> None:
    first, second = two
    lease = acquire(first, partition_id, "a")
    assert lease is not None
    assert lease.epoch == 1
    assert acquire(second, partition_id, "b") is None
    row = first.execute(
        "SELECT owner, epoch, extract(epoch FROM lease_until - clock_timestamp())"
        " FROM orders_enginepartition WHERE id = %s",
        (partition_id,),
    ).fetchone()
    assert row is not None
    assert row[:2] == ("a", 1)
    assert 0 < row[2] <= LEASE_S


def test_an_expired_lease_is_taken_over_with_the_next_epoch(
    two: tuple[psycopg.Connection, psycopg.Connection], partition_id: int
) -> None:
    first, second = two
    assert acquire(first, partition_id, "a") is not None
    expire(first, partition_id)
    taken = acquire(second, partition_id, "b")
    assert taken is not None
    assert taken.epoch == 2
    assert acquire(first, partition_id, "a") is None, "the paused owner is a standby now"


def test_a_dead_owners_partition_is_free_at_once(partition_id: int) -> None:
    first = connect("test-first")
    assert acquire(first, partition_id, "a") is not None
    first.close()
    with connect("test-second") as second:
        # The server notices a closed socket in its own time.
        taken = wait_until(
            lambda: acquire(second, partition_id, "b"), "the death of the owner is noticed"
        )
        assert taken.epoch == 2


def test_the_paused_owners_death_does_not_free_its_successors_lease(
    two: tuple[psycopg.Connection, psycopg.Connection], partition_id: int
) -> None:
    first, second = two
    assert acquire(first, partition_id, "a") is not None
    expire(first, partition_id)
    assert acquire(second, partition_id, "b") is not None
    first.close()
    with connect("test-third") as third:
        third.execute("SELECT pg_sleep(0.1)")
        assert acquire(third, partition_id, "c") is None


def test_a_released_partition_is_free_at_once_and_keeps_its_place(
    two: tuple[psycopg.Connection, psycopg.Connection], partition_id: int
) -> None:
    first, second = two
    lease = acquire(first, partition_id, "a")
    assert lease is not None
    assert lease_release(first, lease, published_seq=7, stream_position="5-1")
    taken = acquire(second, partition_id, "b")
    assert taken is not None
    assert (taken.epoch, taken.published_seq, taken.stream_position) == (2, 7, "5-1")
    assert not lease_release(first, lease, published_seq=0, stream_position="0-0")
    assert acquire(first, partition_id, "a") is None
