"""Refuse a JSON text in which an object, at any depth, has a name twice.

msgspec silently takes the last value of such a name. So this check scans each text that msgspec
accepted with the standard library's C scanner, which passes on each object's unescaped names.
"""

import json
from typing import Any, Final

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

NAME_SHOWN_CHARS: Final = 64


class _Twice(Exception):
    """An object has this name twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))


# Numbers stay text and control characters pass: this scan checks names, not values.
_scan: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=str, parse_float=str, parse_constant=str, strict=False
).raw_decode


def duplicates_check(data: bytes) -> None:
    """Raise request.duplicate_field, or request.malformed for text that is not JSON."""
    try:
        _scan(data.decode().lstrip())
    except _Twice as found:
        name = str(found)[:NAME_SHOWN_CHARS]
        raise DomainError(Code.REQUEST_DUPLICATE_FIELD, field=name) from found
    except (StopIteration, ValueError, RecursionError) as error:
        raise DomainError(Code.REQUEST_MALFORMED) from error
