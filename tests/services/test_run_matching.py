"""The matching process: real signals, real Redis, real rows (fault cases F5 to F9)."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial

import msgspec
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection as django_connection

from exchange.domain.enums import Side
from exchange.infra.redis import (
    FEED_CHANNEL,
    book_key,
    commands_stream,
    matching_key,
    redis_client,
    settle_flag_key,
    top_key,
)
from exchange.realtime.frames import decode_frames
from matching.worker.redis import FIELD
from orders.management.commands.run_matching import EXIT_LEASE_LOST, STANDBY_POLL_S
from orders.recovery.lease import LEASE_S
from orders.settlement.task import connection_close, settle_partition
from tests.factories.market import Market, market_make
from tests.waiting import HANG_S, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

TAKE_OVER_S_MAX = 5.0


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis_client() as client:
        yield client


@pytest.fixture
def start(market: Market) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start matching processes of the test's partition; all are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(partition_id: int = market.partition_id) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "run_matching"]
        process = subprocess.Popen(
            [*command, "--partition", str(partition_id)],
            cwd=settings.BASE_DIR if hasattr(settings, "BASE_DIR") else None,
            env={**os.environ, "DATABASE_URL": test_database_url(), "METRICS_PORT": "0"},
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def test_database_url() -> str:
    """DATABASE_URL of the tests' own database: a process of its own cannot guess its name."""
    params = {**django_connection.get_connection_params()}
    host = params.get("host", "")
    user, port = params.get("user", ""), params.get("port", "")
    password = params.get("password", "")
    query = f"host={host}&user={user}&port={port}&password={password}"
    return f"postgresql:///{params['dbname']}?{query}"


test_database_url.__test__ = False  # type: ignore[attr-defined]


def publish(client: redis.Redis, market: Market) -> None:
    for payload in market.publisher.take():
        client.xadd(commands_stream(market.partition_id), {FIELD: payload})


def status(db: psycopg.Connection, order_id: int) -> str:
    row = db.execute("SELECT status FROM orders_order WHERE id = %s", (order_id,)).fetchone()
    assert row is not None
    return str(row[0])


def is_open(db: psycopg.Connection, order_id: int) -> bool:
    return status(db, order_id) == "open"


def processes(db: psycopg.Connection) -> int:
    """Matching processes that are connected, which one that stands by is as well."""
    row = db.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'takas-matching' AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def epoch(db: psycopg.Connection, market: Market) -> int:
    row = db.execute(
        "SELECT epoch FROM orders_enginepartition WHERE id = %s", (market.partition_id,)
    ).fetchone()
    return row[0] if row is not None else 0


def test_an_order_travels_from_the_stream_to_rows_and_frames(
    start: Callable[[], subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    code = market.rules.units.code
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(FEED_CHANNEL)
    sell = market.place(db, 0, Side.SELL, 5, 100)
    buy = market.place(db, 1, Side.BUY, 2, 100)
    publish(client, market)
    process = start()
    wait_until(lambda: status(db, buy) == "filled")
    assert status(db, sell) == "partially_filled"
    wait_until(lambda: client.get(book_key(code)) is not None)
    book = msgspec.json.decode(client.get(book_key(code)) or b"")
    assert (book["bids"], book["asks"], book["sequence"]) == ([], [["1", "0.003"]], 1)
    assert msgspec.msgpack.decode(client.get(top_key(code)) or b"") == [0, 100, 100, 1, 0]
    beat = msgspec.json.decode(client.get(matching_key(market.partition_id)) or b"")
    assert (beat["epoch"], beat["sequence"]) == (1, 2)
    topics = [topic for topic, _ in frames_heard(listener)]
    sides = [f"account:{account}" for account in market.account_ids[:2]]
    assert topics == [f"{code}@depth", f"{code}@trade", *sides]
    assert client.exists(settle_flag_key(market.partition_id)), "settlement was notified"
    process.terminate()
    assert process.wait(HANG_S) == 0


def test_two_partitions_trade_and_settle_side_by_side(
    start: Callable[..., subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    other = market_make(ids=market.ids)
    bought = {}
    for one in (market, other):
        one.place(db, 0, Side.SELL, 5, 100)
        bought[one.partition_id] = one.place(db, 1, Side.BUY, 2, 100)
        publish(client, one)
        start(one.partition_id)
    try:
        for one in (market, other):
            order_id = bought[one.partition_id]
            wait_until(partial(is_filled, db, order_id))
            settle_partition(one.partition_id)
            held = db.execute(
                "SELECT available FROM wallets_balance WHERE account_id = %s AND asset_id = %s",
                (one.account_ids[1], one.base_id),
            ).fetchone()
            assert held == (Decimal("1000000.002"),)
    finally:
        connection_close()


def is_filled(db: psycopg.Connection, order_id: int) -> bool:
    return status(db, order_id) == "filled"


def frames_heard(listener: "redis.client.PubSub") -> list[tuple[str, bytes]]:
    message = wait_until(lambda: listener.get_message(timeout=0.1), "a frame is heard")
    return decode_frames(message["data"])


def test_a_standby_takes_over_from_a_killed_worker(
    start: Callable[[], subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    first = start()
    wait_until(lambda: epoch(db, market) == 1)
    resting = market.place(db, 0, Side.SELL, 5, 100)
    publish(client, market)
    wait_until(lambda: is_open(db, resting))
    start()
    wait_until(lambda: processes(db) == 2)  # it stands by: its start-up is over
    # Were it the lease's end that tells, it would tell in an hour.
    first.send_signal(signal.SIGSTOP)
    db.execute("UPDATE orders_enginepartition SET lease_until = now() + interval '1 hour'")
    first.kill()
    order_id = market.place(db, 1, Side.BUY, 5, 100)
    publish(client, market)
    wait_until(lambda: status(db, order_id) == "filled")
    assert epoch(db, market) == 2


def test_a_standby_takes_over_from_a_worker_that_hangs(
    start: Callable[[], subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    """Its session lives, so only the lease's end tells: the longest a take-over can be."""
    first = start()
    wait_until(lambda: epoch(db, market) == 1)
    start()
    wait_until(lambda: processes(db) == 2)
    first.send_signal(signal.SIGSTOP)
    order_id = market.place(db, 0, Side.SELL, 5, 100)
    publish(client, market)
    wait_until(lambda: is_open(db, order_id))
    assert epoch(db, market) == 2


def test_the_longest_take_over_is_bounded() -> None:
    """A lease's end and a look at it; then the load (`manage.py bench --section loading`)."""
    assert LEASE_S + STANDBY_POLL_S < TAKE_OVER_S_MAX


def test_a_worker_paused_past_its_lease_ends_when_it_wakes(
    start: Callable[[], subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    first = start()
    seen_id = market.place(db, 0, Side.SELL, 5, 101)
    # While it loads, its lease is a longer one.
    wait_until(lambda: is_open(db, seen_id))
    first.send_signal(signal.SIGSTOP)
    start()
    wait_until(lambda: epoch(db, market) == 2)
    order_id = market.place(db, 0, Side.SELL, 5, 100)
    publish(client, market)
    first.send_signal(signal.SIGCONT)
    assert first.wait(HANG_S) == EXIT_LEASE_LOST
    wait_until(lambda: status(db, order_id) == "open")


def test_all_of_redis_may_be_lost_while_orders_come_in(
    start: Callable[[], subprocess.Popen[bytes]],
    market: Market,
    db: psycopg.Connection,
    client: redis.Redis,
) -> None:
    start()
    wait_until(lambda: epoch(db, market) == 1)
    for turn in range(3):
        order_id = market.place(db, 0, Side.SELL, 5, 100 + turn)
        market.publisher.take() if turn == 1 else publish(client, market)
        if turn == 2:
            client.delete(commands_stream(market.partition_id))
        wait_until(partial(is_open, db, order_id))
