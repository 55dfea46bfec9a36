"""A request's head as it stands on the wire, as the environ of a WSGI application.

What two readers could take for two different things is refused here, before anything reads it: a
header that must be there once and is there twice, a NUL in the address, a charset that text cannot
be in. Headers with an underscore
in their name are dropped, because a WSGI environ does not tell `X_Takas_Key` from `X-Takas-Key`.
"""

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from django.http import HttpRequest
from django.utils.http import parse_header_parameters

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

HEAD_BYTES_MAX: Final = 16 * 1024
TYPES_KEPT_MAX: Final = 64  # good ones, as almost all requests have the same
NAMES_MAX: Final = 1_000  # names of headers are the client's choice: a bounded number is remembered
# The path and query as they were sent: what a signature is over.
TARGET: Final = "takas.target"

Environ = dict[str, Any]

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
