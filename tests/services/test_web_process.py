"""The web role as processes: slow senders, several workers, the death of one, a stop."""

import os
import signal
import socket
import time
from pathlib import Path
from threading import Thread

import pytest

from config.demo.responses import Response
from tests.factories.role import READY_S, Running, locked, role_running, wait_for
from tests.factories.trading import (
    Trader,
    order_body,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.usefixtures("fresh_process"),
]

SLOW_SENDERS = 200


def slow_head(at: int, ada: Trader) -> bytes:
    """The head of a request that is well formed as far as it goes: a stranger's, a user's, a
    form's. One byte of the body follows."""
    stamp = time.time_ns() // 1_000_000
    key, path = ("tk_aaaaaaaaaa", ada.key)[at % 2], "/api/v1/orders"
    keys = f"X-Takas-Key: {key}\r\nX-Takas-Timestamp: {stamp}\r\nX-Takas-Signature: {'0' * 64}\r\n"
    if at % 3 == 2:
        keys, path = "", "/login"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{keys}Content-Length: 1000\r\n\r\n"
    return head.encode() + b"{"


def test_slow_senders_hold_no_thread_and_others_trade(ada: Trader, tmp_path: Path) -> None:
    with role_running("web", tmp_path) as web:
        senders: list[socket.socket] = []
        for at in range(SLOW_SENDERS):
            senders.append(web.connect(f"127.0.0.{2 + at % 4}"))
            senders[-1].sendall(slow_head(at, ada))

        def held() -> bool:
            given_up = web.metric("takas_web_refused_total")
            return web.metric("takas_web_bodies") + given_up == SLOW_SENDERS

        wait_for(held, "the slow senders never got in", web.log)
        assert web.metric("takas_web_requests") == 0, "a thread for a request that is not there yet"
        with web.client(ada) as client:
            answers = [client.order_place(order_body()).status for _ in range(20)]
        assert answers == [201] * 20
        for sender in senders:
            sender.settimeout(READY_S)
            assert sender.recv(4_096).startswith(b"HTTP/1.1 408 ")
            sender.close()
        wait_for(lambda: web.metric("takas_web_bodies") == 0, "bodies are left over", web.log)


def test_two_workers_share_one_port_of_health_and_survive_the_death_of_one(
    ada: Trader, tmp_path: Path
) -> None:
    with role_running("web", tmp_path, web_workers=2) as web:
        wait_for(lambda: len(pids_of_metrics(web)) == 2, "two workers never measured", web.log)
        placed = trade_until_both_served(web, ada)
        assert web.health("/readyz")[0] == 200

        first, second = web.children()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: first not in web.children(), "the worker did not die", web.log)
        with web.client(ada) as client:
            assert client.order_place(order_body()).status == 201
        wait_for(lambda: len(web.children()) == 2, "no worker in its place", web.log)
        assert second in web.children()
        assert web.health("/readyz")[0] == 200
        wait_for(lambda: accepted(web) == placed + 1, "the dead one's count is lost", web.log)


def pids_of_metrics(web: Running) -> list[int]:
    """Workers whose own samples are in the folder that all answer from."""
    folder = Path(web.log.parent, "web-metrics")
    assert web.health("/metrics")[0] == 200
    return sorted({int(path.stem.rpartition("_")[2]) for path in folder.glob("counter_*.db")})


def trade_until_both_served(web: Running, ada: Trader) -> int:
    """Place orders on fresh connections until each worker has accepted some; return how many."""
    placed = 0

    def both() -> bool:
        nonlocal placed
        with web.client(ada) as client:
            assert client.order_place(order_body()).status == 201
        placed += 1
        return all(worker_accepted(web, pid) for pid in web.children())

    wait_for(both, "one of the workers was never asked", web.log)
    wait_for(lambda: accepted(web) == placed, "the two were not added up", web.log)
    return placed


def accepted(web: Running) -> float:
    """Orders that all workers accepted; an answer may be half a second old."""
    return web.metric("takas_orders_accepted_total")


def worker_accepted(web: Running, pid: int) -> bool:
    path = Path(web.log.parent, "web-metrics", f"counter_{pid}.db")
    return path.exists() and b"takas_orders_accepted" in path.read_bytes()


@pytest.mark.parametrize(
    ("path", "metric"),
    [
        ("/api/v1/prevented-matches", "takas_web_requests"),
        ("/api/v1/orders", "takas_web_key_lookups"),
    ],
)
def test_a_stop_answers_what_was_accepted(
    path: str, metric: str, ada: Trader, tmp_path: Path
) -> None:
    with role_running("web", tmp_path) as web:
        answers: list[Response] = []

        def ask() -> None:
            with web.client(ada) as client:
                answers.append(client.get(path))

        with locked("exchange_apikey"):
            asking = Thread(target=ask)
            asking.start()
            wait_for(lambda: web.metric(metric) == 1, "it does not wait", web.log)
            web.process.send_signal(signal.SIGTERM)
            wait_for(lambda: refuses(web), "it goes on listening", web.log)
        asking.join(READY_S)
        assert [answer.status for answer in answers] == [200]
        assert web.process.wait(READY_S) == 0


STRANGERS = 40  # each a network


def test_strangers_of_many_networks_delay_no_read_of_a_user(ada: Trader, tmp_path: Path) -> None:
    with role_running("web", tmp_path) as web, web.client(ada) as client:
        assert client.get("/api/v1/orders").status == 200
        with locked("orders_trade"):
            strangers = [
                stranger(web, at, "GET /api/v1/trades?symbol=BTC-USDT") for at in range(STRANGERS)
            ]
            wait_for(lambda: waiting(web) == STRANGERS, "strangers do not wait", web.log)
            assert client.get("/api/v1/orders").status == 200
        for sender in strangers:
            sender.close()


def test_keys_that_nobody_has_take_no_thread_of_an_orders_look_up(
    ada: Trader, tmp_path: Path
) -> None:
    with role_running("web", tmp_path) as web, locked("exchange_apikey"):
        strangers = []
        for at in range(STRANGERS):
            keys = (
                f"X-Takas-Key: tk_aaaaaaaa{at:02}\r\nX-Takas-Signature: {'0' * 64}\r\n"
                f"X-Takas-Timestamp: {time.time_ns() // 1_000_000}\r\n"
            )
            strangers.append(stranger(web, at, "DELETE /api/v1/orders/1", keys))
        wait_for(
            lambda: web.metric("takas_web_key_lookups") == STRANGERS,
            "strangers do not wait",
            web.log,
        )
        assert 'takas_web_key_lookups{keys="proven"} 0.0' in web.health("/metrics")[1]
        assert web.metric("takas_web_lookups") == 0
        for sender in strangers:
            sender.close()


def stranger(web: Running, at: int, line: str, keys: str = "") -> socket.socket:
    """A request from a network of its own that nobody waits for."""
    sender = web.connect(f"127.0.1.{1 + at}")
    sender.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\n{keys}\r\n".encode())
    return sender


def waiting(web: Running) -> float:
    return web.metric("takas_web_public_reads") + web.metric("takas_web_reads")


def refuses(web: Running) -> bool:
    try:
        web.connect().close()
    except OSError:
        return True
    return False
