"""Conversion between ASGI and WSGI: a request's head to an environ, an answer to messages.

A head that two readers could understand differently is refused before anything reads it: a header
twice that may stand only once, a NUL in the address, a charset other than UTF-8. Headers with an
underscore in their name are dropped, because a WSGI environ does not tell `X_Takas_Key` from
`X-Takas-Key`.

An answer is complete before its first byte is sent: a slow reader occupies the server, never a
thread. A file is answered by its path, and the server reads it.
"""

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from django.http import HttpRequest
from django.utils.http import parse_header_parameters

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
HEAD_BYTES_MAX: Final = 16 * 1024
TYPES_KEPT_MAX: Final = 64  # accepted ones; almost all requests have the same
NAMES_MAX: Final = 1_000  # remembered names of headers; clients choose them freely
# The environ's key of the path and query as they were sent, which a signature covers.
TARGET: Final = "takas.target"

Environ = dict[str, Any]
Message = dict[str, Any]
Messages = tuple[Message, Message]
Header = tuple[bytes, bytes]  # a name and its value
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_ONCE: Final = frozenset(
    {
        "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_HOST", "HTTP_ORIGIN",
        "HTTP_TRANSFER_ENCODING", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID",
        "HTTP_X_TAKAS_KEY", "HTTP_X_TAKAS_SIGNATURE", "HTTP_X_TAKAS_TIMESTAMP",
        "HTTP_X_TAKAS_WINDOW",
    }
)  # fmt: skip
_PLAIN: Final = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_names: Final[dict[bytes, str]] = {}


def environ_of(scope: Mapping[str, Any]) -> Environ:
    """Return the environ of an ASGI scope, without its body. Raises the refusals of a bad head."""
    raw_path, query = scope["raw_path"], scope["query_string"]
    if b"%00" in raw_path or b"%00" in query:
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule="no NUL in the address")
    target = raw_path.decode("latin-1")
    path = target if b"%" not in raw_path else unquote_to_bytes(raw_path).decode("latin-1")
    client, server = scope.get("client") or ("",), scope["server"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": str(client[0]),
        TARGET: f"{target}?{query.decode('latin-1')}" if query else target,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    _headers_add(environ, scope["headers"], len(raw_path) + len(query))
    if ";" in environ.get("CONTENT_TYPE", ""):
        content_type_of(environ["CONTENT_TYPE"])
    return environ


def wire_target(request: HttpRequest) -> str:
    """Return the path and query as the client sent them; in tests of views, as a client would."""
    target = request.META.get(TARGET)
    if target is not None:
        return str(target)
    query = request.META.get("QUERY_STRING", "")
    path = quote(request.path, safe="/:@!$&'()*+,;=~-._")
    return f"{path}?{query}" if query else path


def _headers_add(environ: Environ, headers: Iterable[tuple[bytes, bytes]], size: int) -> None:
    for name, value in headers:
        size += len(name) + len(value)
        key = _names.get(name) or _key(name)
        if not key:
            continue
        text = value.decode("latin-1")
        if key in environ:
            if key in _ONCE:
                raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule=f"{name.decode()} only once")
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    if size > HEAD_BYTES_MAX:
        raise DomainError(Code.REQUEST_HEAD_TOO_LARGE, bytes_max=HEAD_BYTES_MAX)


@lru_cache(TYPES_KEPT_MAX)
def content_type_of(text: str) -> tuple[str, dict[str, str]]:
    """Return a Content-Type and its parameters, which all requests share.

    Refuses a malformed one, and charsets other than UTF-8, of which Python's may raise.
    """
    try:
        content_type, parameters = parse_header_parameters(text)
        charset = parameters.get("charset", "utf-8")
    except (ValueError, LookupError) as error:
        rule = "Content-Type with parameters that can be read"
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule=rule) from error
    if charset.lower() not in ("utf-8", "utf8"):
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule="Content-Type in UTF-8")
    return content_type, parameters


def _key(name: bytes) -> str:
    """Return the environ's key of a header; empty for a header that is dropped."""
    if b"_" in name:
        return ""
    key = _PLAIN.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_names) < NAMES_MAX:
        _names[name] = key
    return key


class AnswerTooLarge(Exception):
    """A view's answer exceeds ANSWER_BYTES_MAX: a bug, as every list has pages."""


class _File:
    """The `wsgi.file_wrapper` of an answer; `path` is None for anything but a file on disk."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.path = file.name if isinstance(file, io.BufferedReader) else None

    def __iter__(self) -> Any:
        return iter(lambda: self.file.read(64 * 1024), b"")

    def close(self) -> None:
        self.file.close()


def messages_of(application: Application, environ: Environ, body: bytes) -> Messages:
    """Return the application's answer to a request as messages; raises what it raises."""
    body_put(environ, body)
    environ["wsgi.file_wrapper"] = _File
    started: list[Any] = []
    chunks = application(environ, lambda *parts: started.extend(parts))
    try:
        status, headers = started[:2]
        return _start(int(status[:3]), headers_bytes(headers)), _body(
            chunks, environ["REQUEST_METHOD"]
        )
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def body_put(environ: Environ, body: bytes) -> None:
    """Put a complete body into the environ."""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def answer_of(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Messages:
    """Return the messages of a complete answer; its length is added to the headers."""
    return answer_bytes(status, headers_bytes(headers), body)


def answer_bytes(status: int, headers: Iterable[Header], body: bytes) -> Messages:
    """Do the same for headers whose names are lower-case already, as bytes."""
    with_length = [*headers, (b"content-length", b"%d" % len(body))]
    return _start(status, with_length), {"type": "http.response.body", "body": body}


def answer_bare(status: int, headers: Iterable[tuple[str, str]], body: bytes | Path) -> Messages:
    """Return an answer with only these headers; a path stands for a file that the server reads."""
    if isinstance(body, bytes):
        last: Message = {"type": "http.response.body", "body": body}
    else:
        last = {"type": "http.response.pathsend", "path": str(body)}
    return _start(status, headers_bytes(headers)), last


def headers_bytes(headers: Iterable[tuple[str, str]]) -> list[Header]:
    """Return headers as an answer's message has them: bytes, their names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _start(status: int, headers: list[Header]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


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
