"""Between ASGI and WSGI: a request's head as an environ, one call, and its answer as messages.

What two readers could take for two different things is refused here, before anything reads it: a
header that must be there once and is there twice, a NUL in the address, a charset that text cannot
be in. Headers with an underscore in their name are dropped, because a WSGI environ does not tell
`X_Takas_Key` from `X-Takas-Key`.

An answer is bytes, whole, before the first of them is sent: a slow reader is the server's business
and never a thread's. A file is answered by its name and read by the server.
"""

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from django.http import HttpRequest
from django.utils.http import parse_header_parameters

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
HEAD_BYTES_MAX: Final = 16 * 1024
TYPES_KEPT_MAX: Final = 64  # good ones, as almost all requests have the same
NAMES_MAX: Final = 1_000  # names of headers are the client's choice: a bounded number is remembered
# The path and query as they were sent: what a signature is over.
TARGET: Final = "takas.target"

Environ = dict[str, Any]
Message = dict[str, Any]
Messages = tuple[Message, Message]
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
    """The environ of an ASGI scope, without its body. Raises the refusals of a bad head."""
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
        _content_type_check(environ["CONTENT_TYPE"])
    return environ


def wire_target(request: HttpRequest) -> str:
    """The path and query as the client sent them. Without a server around (tests of views): as a
    client would send them."""
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
def _content_type_check(text: str) -> None:
    """Refuse a type that cannot be read, or a charset but UTF-8: Python knows some that raise."""
    try:
        charset = parse_header_parameters(text)[1].get("charset", "utf-8")
    except (ValueError, LookupError) as error:
        rule = "Content-Type with parameters that can be read"
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule=rule) from error
    if charset.lower() not in ("utf-8", "utf8"):
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule="Content-Type in UTF-8")


def _key(name: bytes) -> str:
    """The environ's key of a header; empty for one that must not be read."""
    if b"_" in name:
        return ""
    key = _PLAIN.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_names) < NAMES_MAX:
        _names[name] = key
    return key


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
