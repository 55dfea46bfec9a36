"""A client of the public API: signed requests over raw keep-alive sockets.

Every tool that talks to the exchange from outside (demo market, replay, benchmarks, crash test)
uses this module, so that what they show is what an API client would see. It needs no Django. The
pieces are separate because a load generator drives many sockets from one thread: `Signer` makes
the bytes of a request, `ResponseParser` takes the bytes of answers, `Client` is the blocking pair.
"""

import hashlib
import hmac
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
RECEIVE_BYTES: Final = 64 * 1024
TIMEOUT_SECONDS: Final = 10.0

_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)", re.IGNORECASE)
_NO_BODY: Final = frozenset({204, 304})
_DECODE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode


class ClientError(Exception):
    """The exchange could not be asked, or its answer is not HTTP."""


class NotSent(ClientError):
    """No connection: the request did not leave this process, and had no effect."""


class OutcomeUnknown(ClientError):
    """The request left, no complete answer came: it may or may not have had its effect.

    Ask by `client_order_id`, or send the same order again: the exchange knows the repetition.
    """


class ProtocolError(ClientError):
    """The bytes received are not an HTTP/1.1 answer within the bounds of this client."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret. The secret stays out of every representation."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `head` is the raw status line and headers; `body` is not decoded yet."""

    status: int
    head: bytes
    body: bytes
    closes: bool

    def json(self) -> Any:
        """Return the decoded body; raises ProtocolError where it is not JSON."""
        try:
            return _DECODE(self.body)
        except msgspec.DecodeError as error:
            raise ProtocolError(f"status {self.status}, a body that is not JSON") from error

    def header(self, name: str) -> str | None:
        """Return a header's value; names are case-insensitive."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == wanted:
                return value.strip().decode("latin-1")
        return None

    def code(self) -> str:
        """Return the refusal's stable code, or an empty string where the body has none."""
        try:
            body = _DECODE(self.body)
        except msgspec.DecodeError:
            return ""  # a proxy's error page: only the status says anything
        return str(body.get("code", "")) if isinstance(body, dict) else ""


class Signer:
    """Make the bytes of requests to one host, signed with one key (or unsigned without one).

    Never signs the same thing twice: the exchange refuses a repeated signature, so an equal
    request within one millisecond is stamped with the next one.
    """

    def __init__(self, host: str, credentials: Credentials | None = None) -> None:
        self._host = host.encode()
        self._secret = credentials.secret.encode() if credentials else b""
        self._key = credentials.key.encode() if credentials else b""
        self._stamp_max_ms = 0
        self._signatures: set[str] = set()

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the request's bytes; `path` includes the query and is already encoded."""
        target, verb = path.encode("ascii"), method.encode("ascii")
        lines = b"%b %b HTTP/1.1\r\nHost: %b\r\nAccept: application/json\r\n" % (
            verb,
            target,
            self._host,
        )
        if self._key:
            stamp_ms, signature = self._signature(verb, target, body)
            lines += b"X-Takas-Key: %b\r\nX-Takas-Timestamp: %d\r\nX-Takas-Signature: %b\r\n" % (
                self._key,
                stamp_ms,
                signature.encode("ascii"),
            )
        if not body:
            return lines + (
                b"\r\n" if method in ("GET", "DELETE") else b"Content-Length: 0\r\n\r\n"
            )
        return lines + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )

    def login(self) -> dict[str, str]:
        """Return the first message of a signed WebSocket connection."""
        assert self._key, "a login needs credentials"
        stamp_ms, signature = self._signature(b"GET", b"/ws", b"")
        return {
            "op": "login",
            "key": self._key.decode(),
            "timestamp": str(stamp_ms),
            "signature": signature,
        }

    def _signature(self, verb: bytes, target: bytes, body: bytes) -> tuple[int, str]:
        digest = hashlib.sha256(body).hexdigest().encode("ascii")
        stamp_ms = time.time_ns() // 1_000_000
        if stamp_ms > self._stamp_max_ms:
            self._signatures.clear()  # nothing was stamped with this millisecond yet
        while True:
            message = b"%d\n%b\n%b\n%b" % (stamp_ms, verb, target, digest)
            signature = hmac.digest(self._secret, message, "sha256").hex()
            if signature not in self._signatures:
                break
            stamp_ms += 1
        self._signatures.add(signature)
        self._stamp_max_ms = max(self._stamp_max_ms, stamp_ms)
        return stamp_ms, signature


@dataclass(slots=True, eq=False)
class ResponseParser:
    """Turn received bytes into answers, in order; holds at most one answer's bytes (bounded)."""

    body_bytes_max: int = BODY_BYTES_MAX
    _buffer: bytes = field(default=b"", init=False)

    def feed(self, data: bytes) -> Response | None:
        """Add bytes; return the answer they complete. Raises ProtocolError.

        One request is in flight on a connection, so more than one answer is a protocol error.
        """
        buffer = self._buffer = self._buffer + data if self._buffer else data
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(buffer) > HEAD_BYTES_MAX:
                    raise ProtocolError("the head of the answer is too long")
                return None
            status = _status(buffer)
            if status >= 200:
                break
            buffer = self._buffer = buffer[end + 4 :]  # 1xx: the real answer follows
        return self._complete(buffer, end, status)

    def _complete(self, buffer: bytes, end: int, status: int) -> Response | None:
        head = buffer[: end + 2]
        closes = _CLOSE.search(head) is not None
        if status in _NO_BODY:
            return self._answer(status, head, b"", len(buffer) - end - 4, closes)
        length = _CONTENT_LENGTH.search(head)
        if length is not None:
            size = int(length[1])
            if size > self.body_bytes_max:
                raise ProtocolError(f"an answer of {size} bytes is too long")
            body = buffer[end + 4 : end + 4 + size]
            if len(body) < size:
                return None
            return self._answer(status, head, body, len(buffer) - end - 4 - size, closes)
        if _CHUNKED.search(head) is None:
            raise ProtocolError("an answer without a length")
        if len(buffer) > self.body_bytes_max + HEAD_BYTES_MAX:
            raise ProtocolError("a chunked answer is too long")
        chunked = _chunks(buffer, end + 4)
        if chunked is None:
            return None
        return self._answer(status, head, chunked[0], len(buffer) - chunked[1], closes)

    def _answer(
        self, status: int, head: bytes, body: bytes, surplus: int, closes: bool
    ) -> Response:
        if surplus:
            raise ProtocolError("bytes after the answer")
        self._buffer = b""
        return Response(status, head, body, closes)


def _status(buffer: bytes) -> int:
    if not buffer.startswith(b"HTTP/1.1 ") or not buffer[9:12].isdigit():
        raise ProtocolError(f"not an HTTP/1.1 answer: {buffer[:40]!r}")
    return int(buffer[9:12])


def _chunks(buffer: bytes, start: int) -> tuple[bytes, int] | None:
    """Return a chunked body and where it ends, or None while it is incomplete."""
    parts: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        try:
            size = int(buffer[start:line_end].split(b";")[0], 16)
        except ValueError as error:
            raise ProtocolError("a chunk without a size") from error
        start = line_end + 2
        if size == 0:
            # Trailers, if any, end with an empty line; the line's own break may start them.
            end = buffer.find(b"\r\n\r\n", line_end)
            return None if end < 0 else (b"".join(parts), end + 4)
        if len(buffer) < start + size + 2:
            return None
        parts.append(buffer[start : start + size])
        start += size + 2


class Client:
    """One keep-alive connection to the exchange; not thread-safe.

    `base_url` is http://host:port. Every wait is bounded by `timeout_seconds`. A request that
    failed on the way raises `NotSent` or `OutcomeUnknown`; a refusal is an ordinary `Response`.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.address = address_of(base_url)
        self.timeout_seconds = timeout_seconds
        self._signer = Signer(f"{self.address[0]}:{self.address[1]}", credentials)
        self._parser = ResponseParser()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._parser = ResponseParser()

    def get(self, path: str) -> Response:
        """GET a path; send it once more where the idle connection had been closed meanwhile."""
        try:
            return self.request("GET", path)
        except OutcomeUnknown:
            return self.request("GET", path)

    def order_place(self, order: Mapping[str, Any]) -> Response:
        """POST one order (the REST form: decimals are strings)."""
        return self.request("POST", "/api/v1/orders", _ENCODE(order))

    def order_cancel(self, order_id: str) -> Response:
        """DELETE one order by the exchange's id."""
        return self.request("DELETE", f"/api/v1/orders/{order_id}")

    def request(self, method: str, path: str, body: bytes = b"") -> Response:
        """Send one request and return its answer. Raises NotSent, OutcomeUnknown, ProtocolError."""
        connection = self._connected()
        try:
            connection.sendall(self._signer.request(method, path, body))
            deadline = time.monotonic() + self.timeout_seconds
            while True:
                data = connection.recv(RECEIVE_BYTES)
                if not data:
                    raise OutcomeUnknown(f"{method} {path}: connection closed")
                response = self._parser.feed(data)
                if response is not None:
                    break
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(f"{method} {path}: no answer in time")
        except OSError as error:
            self.close()
            raise OutcomeUnknown(f"{method} {path}: {error}") from error
        except ClientError:
            self.close()
            raise
        if response.closes:
            self.close()
        return response

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = connect(self.address, self.timeout_seconds)
        return self._socket


def address_of(base_url: str) -> tuple[str, int]:
    """Return host and port of an http:// address (the tools run beside the exchange)."""
    parts = urlsplit(base_url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"not an http:// address: {base_url}")
    return parts.hostname, parts.port or 80


def connect(address: tuple[str, int], timeout_seconds: float) -> socket.socket:
    """Return a connected socket with that timeout, without Nagle's delay. Raises NotSent."""
    try:
        connection = socket.create_connection(address, timeout=timeout_seconds)
    except OSError as error:
        raise NotSent(f"{address[0]}:{address[1]}: {error}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
