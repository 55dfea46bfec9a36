"""Shared rate limits on an event loop: requests share a round trip, and each counts once."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import redis as redis_module
from exchange.infra import redis_scripts
from exchange.infra.buckets import Rate
from exchange.infra.redis import KeyReader, Pause, redis_client
from exchange.infra.throttling import Guard, Ticket
from orders.intake import publish
from risk.pretrade import selectors
from tests.factories.trading import redis_away
from tests.waiting import HANG_S, wait_until

RATE = Rate(per_second=1, burst=30)
REQUESTS = 40


@pytest.fixture(autouse=True)
def redis_empty() -> None:
    redis_client().flushall()


def verdicts(guard: Guard, tickets: list[Ticket]) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.gather(
            *(guard.checked(ticket) for ticket in tickets), return_exceptions=True
        )

    return asyncio.run(run())


def test_every_request_counts_once_and_few_round_trips_are_made() -> None:
    client, guard = redis_client(), Guard()
    client.script_flush()  # as a Redis that is new: the script is sent again
    client.config_resetstat()
    answers = verdicts(guard, [Ticket("", "orders:1", RATE)] * REQUESTS)
    assert sum(verdict.wait_ms == 0 for verdict in answers) == RATE.burst
    calls = client.info("commandstats")
    counted = calls["cmdstat_hmget"]["calls"]
    assert counted == REQUESTS


def test_a_signature_passes_once() -> None:
    guard, other = Guard(), Guard()  # of another process: only Redis knows both
    once = Ticket("s" * 64, "orders:1", RATE)
    assert verdicts(guard, [once])[0].wait_ms == 0
    (refused,) = verdicts(other, [once])
    assert isinstance(refused, DomainError)
    assert refused.code is Code.AUTH_REPLAYED


def test_without_redis_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_scripts, "redis_client", redis_away)
    answers = verdicts(Guard(), [Ticket("", "orders:1", RATE)] * REQUESTS)
    assert sum(verdict.wait_ms == 0 for verdict in answers) == RATE.burst


@pytest.fixture
def silent_redis() -> Iterator[redis.Redis]:
    """Stands for what has no deadline of its own: it is connected to, and what it answers to each
    command is never whole, yet never silent for long."""
    ended = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection:
            while not ended.wait(0.01):
                try:
                    connection.sendall(b"1")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b":")
                threading.Thread(target=trickle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield redis.Redis(port=server.getsockname()[1], socket_timeout=60)
        Pause().end()
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        # Who still reads from it fails now, and not in the next test.
        wait_until(lambda: Pause().is_on, "its reader never failed")


def test_a_redis_that_trickles_holds_no_request_for_ever(
    monkeypatch: pytest.MonkeyPatch, silent_redis: redis.Redis
) -> None:
    monkeypatch.setattr(redis_scripts, "redis_client", lambda: silent_redis)
    monkeypatch.setattr(redis_scripts, "ANSWER_S", 0.1)
    guard = Guard()
    tickets = [Ticket("", "orders:1", RATE)] * REQUESTS
    answers = verdicts(guard, tickets)
    assert sum(verdict.wait_ms == 0 for verdict in answers) == RATE.burst, "this process counts"


def test_where_redis_stands_still_an_order_waits_for_it_at_one_station_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def silent(*_: object, **__: object) -> redis.Redis:
        asked.append("asked")
        return redis_away()

    monkeypatch.setattr(redis_module, "PROBE_EVERY_S", HANG_S)
    monkeypatch.setattr(redis_scripts, "redis_client", silent)
    monkeypatch.setattr(selectors, "reader", KeyReader(silent))
    monkeypatch.setattr(publish, "redis_client", silent)
    verdicts(Guard(), [Ticket("", "orders:1", RATE)])
    assert asked == ["asked"]
    with pytest.raises(selectors.TopUnavailable):
        selectors.top_of_book("BTC-USDT")
    publisher = publish.RedisPublisher()  # its client is made, and asked for nothing
    lost = REGISTRY.get_sample_value("takas_publish_failed_total") or 0.0
    caplog.clear()
    publisher.publish([(1, b"payload")])
    assert REGISTRY.get_sample_value("takas_publish_failed_total") == lost + 1, "the sweep has it"
    assert caplog.records == []
    assert asked == ["asked"] * 2


def test_an_error_that_redis_answers_is_no_silence_of_it() -> None:
    one, other = Pause(), Pause()
    one.begin(redis.ResponseError("OOM command not allowed"))
    assert (one.is_on, other.is_on) == (True, False)
    one.begin(redis.TimeoutError("Timeout reading from socket"))
    assert other.is_on


@pytest.fixture
def still_redis(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[list[socket.socket], Callable[[], None]]]:
    """A Redis that stands still: the connections to it, and what brings it back."""
    real, connections = settings.STREAMS_URL, list[socket.socket]()
    monkeypatch.setattr(redis_module, "SOCKET_TIMEOUT_S", 0.01)
    monkeypatch.setattr(redis_module, "PROBE_EVERY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):  # the end of the test
                while True:
                    connections.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        settings.STREAMS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield connections, lambda: setattr(settings, "STREAMS_URL", real)
        settings.STREAMS_URL = real
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def test_a_prober_and_no_order_finds_out_that_redis_is_back(
    still_redis: tuple[list[socket.socket], Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections, bring_back = still_redis
    monkeypatch.setattr(redis_module, "PAUSE_AFTER_FAILURE_S", 0.01)
    order = publish.RedisPublisher()
    order.publish([(1, b"payload")])
    paid = len(connections)  # the one that noticed
    seen: list[bool] = []

    def probed() -> bool:
        seen.append(Pause().is_on)
        return len(connections) > paid + 5

    wait_until(probed, "nobody asks whether Redis is back")
    assert all(seen), "an order would have asked a Redis that stands still"
    assert len(probers()) == 1
    bring_back()
    wait_until(lambda: not Pause().is_on, "nobody found out that Redis is back")
    wait_until(lambda: not probers(), "the prober outlives the silence")


def probers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "redis-probe"]
