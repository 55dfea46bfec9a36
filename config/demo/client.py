"""A client of the public API: signed requests over raw keep-alive sockets.

Every tool that talks to the exchange from outside (demo market, replay, benchmarks, crash test)
uses this module, so that what they show is what an API client would see. It needs no Django. The
pieces are separate because a load generator drives many sockets from one thread: `Signer` makes
the bytes of a request, `ResponseParser` takes the bytes of answers, `Client` is the blocking pair.
"""

import hashlib
import hmac
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from config.demo.responses import ClientError, Response, ResponseParser

RECEIVE_BYTES: Final = 64 * 1024
TIMEOUT_SECONDS: Final = 10.0

_ENCODE: Final = msgspec.json.Encoder().encode


class NotSent(ClientError):
    """No connection: the request did not leave this process, and had no effect."""


class OutcomeUnknown(ClientError):
    """The request left, no complete answer came: it may or may not have had its effect.

    Ask by `client_order_id`, or send the same order again: the exchange knows the repetition.
    """


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret. The secret stays out of every representation."""

    key: str
    secret: str = field(repr=False)


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
