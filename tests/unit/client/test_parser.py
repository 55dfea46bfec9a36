"""The client's HTTP/1.1: every way in which the bytes of an answer may arrive."""

import hashlib
import hmac
import socket
import threading

import pytest

from config.demo.client import Client, Credentials, NotSent, OutcomeUnknown, Signer
from config.demo.responses import ProtocolError, Response, ResponseParser
from tests.waiting import HANG_S

PLAIN = b'HTTP/1.1 201 Created\r\nContent-Length: 11\r\nX-A: b \r\n\r\n{"id":"17"}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1,2\r\n5;x=y\r\n,3,4]\r\n0\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\nconnection: Close\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


def fed(data: bytes, size: int) -> Response:
    parser = ResponseParser()
    for start in range(0, len(data), size):
        response = parser.feed(data[start : start + size])
        if response is not None:
            assert start + size >= len(data), "complete only at the end"
            assert parser.feed(b"") is None, "nothing is left over"
            return response
    raise AssertionError("incomplete")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize(
    ("data", "status", "body", "closes"),
    [
        (PLAIN, 201, b'{"id":"17"}', False),
        (CONTINUED, 201, b'{"id":"17"}', False),
        (CHUNKED, 200, b"[1,2,3,4]", False),
        (EMPTY, 204, b"", True),
    ],
)
def test_an_answer_in_pieces_is_one_answer(
    data: bytes, status: int, body: bytes, closes: bool, size: int
) -> None:
    response = fed(data, size)
    assert (response.status, response.body, response.closes) == (status, body, closes)


def test_header_names_ignore_case() -> None:
    assert fed(PLAIN, 1_000).header("x-a") == "b"
    assert fed(PLAIN, 1_000).header("x-b") is None


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        PLAIN + b"H",
        b"HTTP/1.1 200 OK" + b"x" * 70_000,
    ],
    ids=["not http", "no length", "too long", "bad chunk", "surplus", "endless head"],
)
def test_what_is_not_an_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseParser().feed(data)


def test_a_request_is_signed_over_time_method_path_and_body() -> None:
    request = Signer("host:1", Credentials("key", "secret")).request("POST", "/a?b=c", b"{}")
    head, _, body = request.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    stamp = lines["X-Takas-Timestamp"]
    message = f"{stamp}\nPOST\n/a?b=c\n{hashlib.sha256(b'{}').hexdigest()}"
    expected = hmac.new(b"secret", message.encode(), "sha256").hexdigest()
    assert lines["X-Takas-Signature"] == expected
    assert lines["Content-Length"] == "2"
    assert body == b"{}"


def test_equal_requests_never_share_a_signature() -> None:
    signer = Signer("host:1", Credentials("key", "secret"))
    requests = [signer.request("GET", "/api/v1/balances") for _ in range(50)]
    assert len(set(requests)) == len(requests)


def test_a_secret_is_not_in_the_representation() -> None:
    assert "secret!" not in repr(Credentials("key", "secret!"))


def test_no_server_means_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NotSent):
            Client(f"http://127.0.0.1:{port}").get("/")


def test_a_connection_closed_without_an_answer_is_an_unknown_outcome() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)

        thread = threading.Thread(target=hang_up)
        thread.start()
        client = Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=HANG_S)
        with pytest.raises(OutcomeUnknown):
            client.order_place({"symbol": "BTC-USDT"})
        thread.join(timeout=HANG_S)
        client.close()


@pytest.mark.parametrize(
    ("status", "body", "is_late"),
    [
        (401, b'{"code":"auth.timestamp_outside_window"}', True),
        (401, b'{"code":"auth.key_unknown"}', False),
        (200, b'{"code":"auth.timestamp_outside_window"}', False),
    ],
)
def test_a_late_request_is_told_from_others(status: int, body: bytes, is_late: bool) -> None:
    assert Response(status, b"", body, closes=False).is_late is is_late
