"""Answers of the API: their bytes become responses."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)", re.IGNORECASE)
_LATE: Final = "auth.timestamp_outside_window"
_NO_BODY: Final = frozenset({204, 304})
_DECODE: Final = msgspec.json.Decoder().decode


class ClientError(Exception):
    """The exchange could not be asked, or its answer is not HTTP."""


class ProtocolError(ClientError):
    """The bytes received are not an HTTP/1.1 answer within the bounds of this client."""


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

    @property
    def is_late(self) -> bool:
        """Whether the request was taken up after the window of its signature, and did nothing.

        It happens on a busy machine. The same request, signed again, is as good as the first.
        """
        return self.status == 401 and self.code() == _LATE


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
