"""Slow feed clients: let go, and bounded in cost until then.

Real daphne and a real TCP socket: the in-memory test client has no transport that could fill.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
from django.db import connection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from config.stack.state import ports_free
from exchange.infra.redis import FEED_CHANNEL, redis_client
from exchange.realtime.frames import encode_frames
from exchange.realtime.protocol import CloseCode
from exchange.realtime.send_queue import CHARS_MAX
from tests.factories.models import SymbolFactory
from tests.waiting import HANG_S, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT: Final = Path(__file__).resolve().parents[2]
TOPIC: Final = "BTC-USDT@trade"
FRAME_CHARS: Final = 50_000
FRAMES: Final = 400  # 20 MB: five times what one socket may hold
ESTABLISHED: Final = "01"  # in /proc/net/tcp


@contextmanager
def daphne() -> Iterator[int]:
    """The ws role on a free port, on the test's own database and Redis."""
    (port,) = ports_free(1)
    database = urlsplit(os.environ["DATABASE_URL"])._replace(
        path=f"/{connection.settings_dict['NAME']}"
    )
    command = [sys.executable, "-m", "config.ws", "-b", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "DATABASE_URL": urlunsplit(database), "ROLE": "ws"}
    process = subprocess.Popen(
        command,
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _listens(process, port), "daphne listens")
        yield port
    finally:
        process.terminate()
        process.wait(HANG_S)


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None, "daphne ended"
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def is_connected(port: int, peer_port: int) -> bool:
    """Whether the side at `port` still has its connection to the other one."""
    wanted = f":{port:04X}", f":{peer_port:04X}", ESTABLISHED
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if (local[-5:], remote[-5:], state) == wanted:
            return True
    return False


def publish_much() -> None:
    frame = msgspec.json.encode({"channel": TOPIC, "type": "trade", "id": "x" * FRAME_CHARS})
    with redis_client() as redis:
        for _ in range(FRAMES):
            redis.publish(FEED_CHANNEL, encode_frames([(TOPIC, frame)]))
            time.sleep(0.002)


def test_client_that_does_not_read_is_disconnected_within_its_bounds() -> None:
    SymbolFactory.create(code="BTC-USDT")
    with daphne() as port:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        slow.connect(("127.0.0.1", port))
        url = f"ws://127.0.0.1:{port}/ws"
        # One frame may wait in the client (max_queue); then it stops reading from its socket.
        with connect(url, sock=slow, max_queue=1, max_size=None, open_timeout=HANG_S) as lazy:
            with connect(url, max_size=None, open_timeout=HANG_S) as keen:
                for client in (lazy, keen):
                    client.send(json.dumps({"op": "subscribe", "channels": [TOPIC]}))
                    assert "subscribed" in str(client.recv(timeout=HANG_S))
                publisher = threading.Thread(target=publish_much)
                publisher.start()
                heard = sum("trade" in str(keen.recv(timeout=HANG_S)) for _ in range(FRAMES))
                publisher.join()
            assert heard == FRAMES, "one slow client must not cost another anything"
            slow_port = slow.getsockname()[1]
            wait_until(lambda: not is_connected(port, slow_port), "the slow client is let go")
            received, code = read_to_the_end(lazy)
        assert received < CHARS_MAX, "more was kept for it than one socket may hold"
        assert code in (None, CloseCode.TOO_SLOW)


def read_to_the_end(client: ClientConnection) -> tuple[int, int | None]:
    """How much is still there to read, and the close code if it came through."""
    received = 0
    while received <= (FRAMES - 1) * FRAME_CHARS:
        try:
            received += len(client.recv(timeout=HANG_S))
        except ConnectionClosed as closed:
            return received, closed.rcvd.code if closed.rcvd else None
    pytest.fail("everything was kept for a client that did not read")
