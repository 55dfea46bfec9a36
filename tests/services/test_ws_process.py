"""The ws role as a process: sockets and probes alone, and no request body kept."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from config.ws import HEAD_SECONDS
from tests.factories.role import READY_S, Running, role_running, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
]

HUGE = 120 * 1024 * 1024


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@contextmanager
def ws_running(tmp_path: Path, spool: Path) -> Iterator[Running]:
    with role_running("ws", tmp_path, TMPDIR=str(spool)) as ws:
        yield ws


def files_in(ws: Running, folder: Path) -> list[str]:
    """Files of this folder that the process has open, those without a name too."""
    fds = Path(f"/proc/{ws.process.pid}/fd")
    links = [os.readlink(fds / fd) for fd in os.listdir(fds) if os.path.lexists(fds / fd)]
    return [link for link in links if link.startswith(str(folder))]


def received(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    connection.settimeout(READY_S)
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass  # it closed while ours was still on its way
    return b"".join(parts)


def test_the_port_serves_sockets_and_probes_and_takes_no_body(tmp_path: Path, spool: Path) -> None:
    with ws_running(tmp_path, spool) as ws:
        for path, status in (("/livez", 200), ("/readyz", 200), ("/api/v1/time", 404),
                             ("/admin/login/", 404), ("/", 404)):  # fmt: skip
            with ws.client() as client:
                answer = client.get(path)
            assert answer.status == status, path
            assert len(answer.body) < 300
        url = ws.url.replace("http", "ws")
        with connect(f"{url}/ws", open_timeout=READY_S) as feed:
            feed.send('{"op":"ping","id":1}')
            assert '"pong"' in str(feed.recv(timeout=READY_S))
        with pytest.raises(InvalidStatus):
            connect(f"{url}/other", open_timeout=READY_S)

        for length in (f"Content-Length: {HUGE}", "Transfer-Encoding: chunked"):
            with ws.connect() as connection:
                head = f"POST /ws HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
                connection.sendall(head.encode() + b"x" * 300_000)
                answered = received(connection)
            assert answered[:12] in (b"", b"HTTP/1.1 413", b"HTTP/1.1 400")
            assert files_in(ws, spool) == []
        with ws.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            assert received(connection).startswith(b"HTTP/1.1 413 ")
        assert list(spool.iterdir()) == []
        text = ws.log.read_text()
        assert "Traceback" not in text, text


def test_a_head_that_trickles_in_has_a_deadline(tmp_path: Path, spool: Path) -> None:
    with ws_running(tmp_path, spool) as ws:
        ended = []
        with ws.connect() as connection:
            connection.sendall(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            connection.settimeout(1)

            def trickle() -> bool:
                try:
                    connection.sendall(b"x")
                    ended.append(not connection.recv(1))
                except TimeoutError:
                    ended.append(False)
                except OSError:
                    ended.append(True)
                return ended[-1]

            wait_for(trickle, "it never ended", ws.log)
        assert len(ended) < 10 * HEAD_SECONDS


def test_two_processes_have_a_port_of_health_each(tmp_path: Path, spool: Path) -> None:
    with ws_running(tmp_path, spool) as one, ws_running(tmp_path, spool) as other:
        assert one.health_url != other.health_url
        for ws in (one, other):
            assert ws.health("/readyz")[0] == 200
            with connect(f"{ws.url.replace('http', 'ws')}/ws", open_timeout=READY_S):
                wait_for(lambda ws=ws: ws.metric("takas_feed_connections") == 1, "not counted")
