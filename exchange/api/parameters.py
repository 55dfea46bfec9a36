"""What every request of the API may bring besides its path: the one place that says so.

Anything else is refused, also a parameter that stands twice: what is overlooked could widen an
answer, or cancel more than was meant.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from django.http import HttpRequest, QueryDict

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

NAME_SHOWN_CHARS: Final = 64
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]").search


class Takes(NamedTuple):
    """Parameters that may stand once, those that may stand several times, and whether a body."""

    once: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    body: bool = False


def _takes(*once: str, several: tuple[str, ...] = (), body: bool = False) -> Takes:
    return Takes(frozenset(once), frozenset(several), body)


NOTHING: Final = Takes()
TAKES: Final[Mapping[tuple[str, str], Takes]] = {
    ("GET", "api-orders"): _takes(
        "symbol", "from", "to", "client_order_id", "limit", "cursor", several=("status",)
    ),
    ("POST", "api-orders"): _takes(body=True),
    ("DELETE", "api-orders"): _takes("symbol", "side", "key"),
    ("PATCH", "api-order"): _takes(body=True),
    ("GET", "api-order-fills"): _takes("limit", "cursor"),
    ("GET", "api-order-lists"): _takes("limit", "cursor"),
    ("POST", "api-order-lists"): _takes(body=True),
    ("POST", "api-cancel-after"): _takes(body=True),
    ("GET", "api-prevented-matches"): _takes("symbol", "order_id", "limit", "cursor"),
    ("GET", "api-symbols"): _takes("symbol"),
    ("GET", "api-depth"): _takes("symbol", "limit"),
    ("GET", "api-trades"): _takes("symbol", "limit", "cursor"),
    ("POST", "api-keys"): _takes(body=True),
}


def parameters_check(request: HttpRequest) -> None:
    """Refuse what this address does not take: parameters, repetitions of them, and a body."""
    meta = request.META
    has_body = meta.get("CONTENT_LENGTH") not in (None, "", "0")
    has_query = bool(meta.get("QUERY_STRING"))
    if not has_body and not has_query:
        return
    match = request.resolver_match
    method = "GET" if request.method == "HEAD" else request.method or ""
    takes = TAKES.get((method, (match.url_name if match is not None else "") or ""), NOTHING)
    if has_body and not takes.body:
        raise DomainError(Code.REQUEST_BODY_UNEXPECTED)
    if has_query:
        _query_check(request.GET, takes)


def _query_check(query: QueryDict, takes: Takes) -> None:
    for name, values in query.lists():
        shown = name[:NAME_SHOWN_CHARS]
        if name not in takes.once and name not in takes.several:
            raise DomainError(Code.REQUEST_FIELD_UNKNOWN, field=shown)
        if len(values) > 1 and name not in takes.several:
            raise DomainError(Code.REQUEST_DUPLICATE_FIELD, field=shown)
        if any(_UNPRINTABLE(value) for value in values):
            rule = "printable characters"
            raise DomainError(Code.REQUEST_FIELD_INVALID, field=shown, rule=rule)
