"""WebSocket clients frame by frame: floods, sizes, host names, clients that do not read."""

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from exchange.realtime.protocol import FRAMES_BURST, MESSAGE_BYTES_MAX, CloseCode
from tests.factories.role import READY_S, Running, role_running, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
TOO_LARGE, BROKEN = 1009, 1002  # WebSocket's own codes
SENT_MAX = 64 * 1024 * 1024  # far beyond what the buffers of both systems take
FLOOD = 40 * FRAMES_BURST


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Running]:
    with role_running("ws", tmp_path) as running:
        yield running


def handshake(host: str) -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def opened(ws: Running) -> socket.socket:
    connection = ws.connect()
    connection.sendall(handshake("localhost"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return connection


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, length: int = -1) -> bytes:
    """A frame of a client: masked with zeros. `length`: what it says, where that is a lie."""
    size = len(payload) if length < 0 else length
    first = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        return first + bytes([0x80 | size]) + bytes(4) + payload
    if size < 65_536:
        return first + b"\xfe" + struct.pack("!H", size) + bytes(4) + payload
    return first + b"\xff" + struct.pack("!Q", size) + bytes(4) + payload


def told(connection: socket.socket) -> tuple[Counter[int], int | None]:
    """The frames that the server wrote until the end, by opcode, and its close code."""
    connection.settimeout(READY_S)
    received = b""
    with suppress(ConnectionResetError):  # what was written before it was read before
        while part := connection.recv(65_536):
            received += part
    return _parsed(received)


def _parsed(received: bytes) -> tuple[Counter[int], int | None]:
    counts: Counter[int] = Counter()
    code = None
    while received:
        opcode, size, start = received[0] & 0x0F, received[1], 2
        if size == 126:
            size, start = int.from_bytes(received[2:4]), 4
        payload, received = received[start : start + size], received[start + size :]
        counts[opcode] += 1
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2])
    return counts, code


FLOODS = {
    "pings": frame(PING, b"x" * 125),
    "pongs": frame(PONG, b"x" * 125),
    "texts": frame(TEXT, b"{}"),
    "empty pieces": frame(CONTINUATION, final=False),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_frames_of_any_kind_count_towards_one_rate(ws: Running, kind: str) -> None:
    with opened(ws) as connection:
        start = frame(TEXT, final=False) if kind == "empty pieces" else b""
        connection.sendall(start + FLOODS[kind] * FLOOD)
        counts, code = told(connection)
    assert code == CloseCode.TOO_MANY_MESSAGES
    assert counts[PONG] <= 2 * FRAMES_BURST, "a pong for each ping within the rate"
    wait_for(lambda: ws.metric("takas_feed_connections") == 0, "it is still held", ws.log)


@pytest.mark.parametrize("kind", FLOODS)
def test_who_floods_and_never_reads_is_cut_off(ws: Running, kind: str) -> None:
    start = frame(TEXT, final=False) if kind == "empty pieces" else b""
    with opened(ws) as connection, pytest.raises((ConnectionResetError, BrokenPipeError)):
        connection.sendall(start + FLOODS[kind] * (SENT_MAX // len(FLOODS[kind])))


def test_nothing_is_taken_after_the_clients_close_frame(ws: Running) -> None:
    with opened(ws) as connection:
        connection.sendall(frame(CLOSE, struct.pack("!H", 1000)) + FLOODS["pings"] * FLOOD)
        counts, code = told(connection)
    assert (counts[PONG], code) == (0, 1000)


def test_a_message_that_is_too_large_is_told_so(ws: Running) -> None:
    size = MESSAGE_BYTES_MAX + 1
    pieces = frame(TEXT, b"x" * 1_000, final=False)
    pieces += frame(CONTINUATION, b"x" * 1_000, final=False) * 20
    for data in (
        frame(TEXT, b"x" * size),
        frame(TEXT, b"x" * 10, length=1 << 40),
        frame(TEXT, b"x" * 2_000_000),
        pieces,
    ):
        with opened(ws) as connection:
            with suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(data)
            assert told(connection)[1] == TOO_LARGE
    for broken in (frame(3), frame(CONTINUATION), frame(PING, b"x" * 126), b"\x89\x00" * FLOOD):
        with opened(ws) as connection:
            connection.sendall(broken)
            counts, code = told(connection)
            assert (code, counts[PONG]) == (BROKEN, 0)


def test_only_our_host_names_are_served(ws: Running) -> None:
    for host in ("evil.example", "localhost.evil.example", "localhost, evil.example", "", "a b"):
        for path in ("/ws", "/other"):
            with ws.connect() as connection:
                connection.sendall(handshake(host).replace(b"/ws", path.encode()))
                connection.settimeout(READY_S)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 400 "), host
    with ws.connect() as probe:
        probe.sendall(b"GET /livez HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n")
        probe.settimeout(READY_S)
        assert probe.recv(65_536).startswith(b"HTTP/1.1 200 ")
    for host in ("localhost:8001", "127.0.0.1"):
        with ws.connect() as connection:
            connection.sendall(handshake(host))
            connection.settimeout(READY_S)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 101 "), host
