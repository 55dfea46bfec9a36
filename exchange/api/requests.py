"""Decode bodies and parameters of requests into typed values: bounded, strict, refused clearly."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from django.http import HttpRequest

from exchange.domain.codes import Code
from exchange.domain.duplicates import duplicates_check
from exchange.domain.errors import DomainError
from exchange.domain.grammar import DecimalText
from exchange.domain.ids import ID_MAX

BODY_BYTES_MAX: Final = 8 * 1024  # an order takes a few hundred bytes
BATCH_BODY_BYTES_MAX: Final = 64 * 1024  # fifty orders with all their terms
# The addresses that take more than BODY_BYTES_MAX.
BODY_BYTES_MAX_AT: Final = {"/api/v1/orders/batch": BATCH_BODY_BYTES_MAX}

T = TypeVar("T")

_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_AT: Final = re.compile(r"at `\$\.([^`]{1,64})`")
_MISSING: Final = re.compile(r"missing required field `([^`]{1,64})`")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]{1,64})`")
_ID: Final = re.compile(r"[0-9]{1,19}", re.ASCII).fullmatch


def body_of(request: HttpRequest) -> bytes:
    """Return the body; raises request.too_large before reading a body that is too large."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    bytes_max = BODY_BYTES_MAX_AT.get(request.path_info, BODY_BYTES_MAX)
    if not length.isdecimal() or int(length) > bytes_max:
        raise DomainError(Code.REQUEST_TOO_LARGE, bytes_max=bytes_max)
    return request.body


def body_decode(request: HttpRequest, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode the JSON body into the decoder's type; refusals name the field."""
    if request.content_type != "application/json":
        raise DomainError(Code.REQUEST_UNSUPPORTED_MEDIA)
    body = body_of(request)
    decoded = json_decode(body, decoder)
    duplicates_check(body)
    return decoded


def json_decode(data: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode JSON, or the raw part of a body, into the decoder's type; refusals name the field."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), decoder.type) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DomainError(Code.REQUEST_MALFORMED) from error


def _refusal(text: str, body: Any) -> DomainError:
    """Translate msgspec's error text into a refusal; tests pin msgspec's texts."""
    for pattern, code in (
        (_MISSING, Code.REQUEST_FIELD_MISSING),
        (_UNKNOWN, Code.REQUEST_FIELD_UNKNOWN),
    ):
        found = pattern.search(text)
        if found:
            return DomainError(code, field=found[1])
    at = _AT.search(text)
    if at is None:
        return DomainError(Code.REQUEST_MALFORMED)
    field = at[1]
    if ("got `int`" in text or "got `float`" in text) and field in decimal_fields(body):
        return DomainError(Code.REQUEST_NUMBER_NOT_STRING, field=field)
    return DomainError(Code.REQUEST_FIELD_INVALID, field=field, rule=text.partition(" - at")[0])


@cache
def decimal_fields(body: Any) -> frozenset[str]:
    """Return the fields of a body's struct that carry decimals as strings."""
    hints = get_type_hints(body, include_extras=True) if isinstance(body, type) else {}
    return frozenset(name for name, hint in hints.items() if _is_decimal(hint))


def _is_decimal(hint: Any) -> bool:
    return hint == DecimalText or any(map(_is_decimal, get_args(hint)))


def order_id_of(text: str) -> int:
    """Return the order id in a path; raises order.not_found for text that cannot be an id."""
    if _ID(text) is None or int(text) > ID_MAX:
        raise DomainError(Code.ORDER_NOT_FOUND)
    return int(text)


def limit_of(request: HttpRequest, *, default: int, maximum: int) -> int:
    """Return the `limit` parameter, or `default` without it; raises request.field_invalid."""
    text = request.GET.get("limit")
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= maximum:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID, field="limit", rule=f"a number from 1 to {maximum}"
        )
    return int(text)


def time_ms_of(request: HttpRequest, name: str) -> int | None:
    """Return a time parameter in Unix milliseconds; None without it.

    Clients send RFC 3339 with a zone, or milliseconds. Raises request.field_invalid.
    """
    text = request.GET.get(name)
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,14}", text, re.ASCII):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID,
            field=name,
            rule="an RFC 3339 time with a zone, or milliseconds since 1970",
        )
    return (moment - _UNIX) // _MILLISECOND  # floats would lose milliseconds far from 1970
