"""orders.intake.publish: entries in order, one answer behind, and what is lost is counted."""

from collections.abc import Iterator

import pytest
import redis

from exchange.infra.redis import commands_stream, redis_client
from orders.intake.publish import PUBLISH_FAILED, RedisPublisher
from tests.factories.metrics import metric_value

PARTITIONS = (9_101, 9_102)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    streams = [commands_stream(partition_id) for partition_id in PARTITIONS]
    with redis_client() as client:
        client.delete(*streams)
        yield client
        client.delete(*streams)


def payloads(client: redis.Redis, partition_id: int) -> list[object]:
    return [fields[b"c"] for _, fields in client.xrange(commands_stream(partition_id))]


def test_entries_of_many_batches_keep_their_order_in_each_stream(client: redis.Redis) -> None:
    publisher = RedisPublisher()
    sent = [(PARTITIONS[number % 2], b"%d" % number) for number in range(60)]
    for first in range(0, len(sent), 3):
        publisher.publish(sent[first : first + 3])
    publisher.confirm()
    for partition_id in PARTITIONS:
        own = [payload for partition, payload in sent if partition == partition_id]
        assert payloads(client, partition_id) == own


def test_what_redis_refuses_is_counted_when_its_answer_is_read(client: redis.Redis) -> None:
    """One stream's key is no stream: its entries are lost, the other stream's are not."""
    client.set(commands_stream(PARTITIONS[1]), "no stream")
    before = metric_value(PUBLISH_FAILED)
    publisher = RedisPublisher()
    publisher.publish([(PARTITIONS[0], b"a"), (PARTITIONS[1], b"b"), (PARTITIONS[1], b"c")])
    publisher.confirm()
    assert metric_value(PUBLISH_FAILED) == before + 2
    assert payloads(client, PARTITIONS[0]) == [b"a"]


def test_a_connection_that_redis_closed_in_between_loses_nothing(client: redis.Redis) -> None:
    others = {one["id"] for one in client.client_list()}  # of earlier tests too
    publisher = RedisPublisher()
    publisher.publish([(PARTITIONS[0], b"a")])
    publisher.confirm()
    ours = str(client.client_info()["db"])  # other processes' tests have other databases
    [own] = [one for one in client.client_list() if one["id"] not in others and one["db"] == ours]
    client.client_kill(own["addr"])
    publisher.publish([(PARTITIONS[0], b"b")])
    publisher.confirm()
    assert payloads(client, PARTITIONS[0]) == [b"a", b"b"]


def test_without_entries_nothing_is_sent_and_nothing_is_awaited() -> None:
    before = metric_value(PUBLISH_FAILED)
    publisher = RedisPublisher()
    publisher.confirm()
    publisher.publish([])
    publisher.confirm()
    assert metric_value(PUBLISH_FAILED) == before
