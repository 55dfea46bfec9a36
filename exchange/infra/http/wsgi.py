"""One call of a WSGI application with a complete request, and its answer as the messages of ASGI.

An answer is bytes, whole, before the first of them is sent: a slow reader is the server's business
and never a thread's. A file is answered by its name and read by the server.
"""

import io
from collections.abc import Callable, Iterable
from typing import Any, Final

from exchange.infra.http.environ import Environ

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024

Message = dict[str, Any]
Messages = tuple[Message, Message]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class AnswerTooLarge(Exception):
    """A view made an answer beyond ANSWER_BYTES_MAX: a bug, as every list has pages."""


class _File:
    """What `wsgi.file_wrapper` stands for: a file, whole or a part of one."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.path = file.name if isinstance(file, io.BufferedReader) else None

    def __iter__(self) -> Any:
        return iter(lambda: self.file.read(64 * 1024), b"")

    def close(self) -> None:
        self.file.close()


def messages_of(application: Application, environ: Environ, body: bytes) -> Messages:
    """Call the application; raises what it raises."""
    body_put(environ, body)
    environ["wsgi.file_wrapper"] = _File
    started: list[Any] = []
    chunks = application(environ, lambda *parts: started.extend(parts))
    try:
        status, headers = started[:2]
        return _start(int(status[:3]), headers), _body(chunks, environ["REQUEST_METHOD"])
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def body_put(environ: Environ, body: bytes) -> None:
    """Let an application read this body, which is whole."""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def answer_of(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Messages:
    """An answer that is whole, with its length beside these headers."""
    told = [*headers, ("content-length", str(len(body)))]
    return _start(status, told), {"type": "http.response.body", "body": body}


def _start(status: int, headers: Iterable[tuple[str, str]]) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ],
    }


def _body(chunks: Iterable[bytes], method: str) -> Message:
    if method == "HEAD":
        return {"type": "http.response.body", "body": b""}
    if isinstance(chunks, _File) and chunks.path is not None:
        return {"type": "http.response.pathsend", "path": chunks.path}
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise AnswerTooLarge(ANSWER_BYTES_MAX)
    return {"type": "http.response.body", "body": b"".join(parts)}
