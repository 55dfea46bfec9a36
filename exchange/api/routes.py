"""The weight and bucket of every API request, and the parameters and body that its route takes.

A bucket belongs to a user, or to a network for unsigned requests; docs/limits.md explains the
limits to clients. Unknown and repeated parameters are refused: ignoring one could widen an answer,
or cancel more orders than the client meant.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from django.http import HttpRequest, QueryDict

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NAME_SHOWN_CHARS: Final = 64
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]").search


class Bucket(StrEnum):
    """Requests that share one limit."""

    ORDERS = "orders"
    CANCELS = "cancels"
    READS = "reads"
    PUBLIC = "public"


class Cost(NamedTuple):
    """Tokens that a request costs; `is_once` refuses the same signed request a second time."""

    bucket: Bucket
    weight: int
    is_once: bool = False


# By method and route name. Placing is idempotent by its client order id, and cancelling by itself;
# only requests that would do their work again are `is_once`.
COSTS: Final[dict[tuple[str, str], Cost]] = {
    ("POST", "api-orders"): Cost(Bucket.ORDERS, 1),
    ("GET", "api-orders"): Cost(Bucket.READS, 5),
    ("DELETE", "api-orders"): Cost(Bucket.CANCELS, 5),
    ("POST", "api-orders-batch"): Cost(Bucket.ORDERS, 1),  # for each order of the batch
    ("POST", "api-orders-batch-cancel"): Cost(Bucket.CANCELS, 1),  # for each cancel of the batch
    ("POST", "api-orders-test"): Cost(Bucket.ORDERS, 1),
    ("GET", "api-order-by-client-id"): Cost(Bucket.READS, 2),
    ("DELETE", "api-order-by-client-id"): Cost(Bucket.CANCELS, 1),
    ("GET", "api-order"): Cost(Bucket.READS, 2),
    ("GET", "api-order-fills"): Cost(Bucket.READS, 5),
    ("GET", "api-command"): Cost(Bucket.READS, 1),
    ("PATCH", "api-order"): Cost(Bucket.ORDERS, 1, is_once=True),
    ("DELETE", "api-order"): Cost(Bucket.CANCELS, 1),
    ("POST", "api-order-lists"): Cost(Bucket.ORDERS, 1),  # for each order of the list
    ("GET", "api-order-lists"): Cost(Bucket.READS, 10),
    ("GET", "api-order-list"): Cost(Bucket.READS, 2),
    ("DELETE", "api-order-list"): Cost(Bucket.CANCELS, 3),
    ("POST", "api-cancel-after"): Cost(Bucket.CANCELS, 5, is_once=True),
    ("GET", "api-prevented-matches"): Cost(Bucket.READS, 5),
    ("GET", "api-balances"): Cost(Bucket.READS, 2),
    ("GET", "api-keys"): Cost(Bucket.READS, 2),
    ("POST", "api-keys"): Cost(Bucket.READS, 20, is_once=True),
    ("DELETE", "api-key"): Cost(Bucket.READS, 2),
    ("GET", "api-symbols"): Cost(Bucket.PUBLIC, 2),
    ("GET", "api-time"): Cost(Bucket.PUBLIC, 1),
    ("GET", "api-depth"): Cost(Bucket.PUBLIC, 2),
    ("GET", "api-trades"): Cost(Bucket.PUBLIC, 5),
}
# The cost of a request to an unknown route, or with a method that its route does not take.
NOTHING_THERE: Final = Cost(Bucket.PUBLIC, 1)


class Takes(NamedTuple):
    """The parameters that a route takes once or several times, and whether it takes a body."""

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
    ("POST", "api-orders-batch"): _takes(body=True),
    ("POST", "api-orders-batch-cancel"): _takes(body=True),
    ("POST", "api-orders-test"): _takes(body=True),
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


def cost_of(method: str, name: str | None) -> Cost:
    """Return the cost of a request; HEAD costs as much as GET."""
    known = COSTS.get(("GET" if method == "HEAD" else method, name or ""))
    return known if known is not None else NOTHING_THERE


def weights_check(patterns: Iterable[Any]) -> None:
    """Assert that COSTS has every method of every route; called when the routes are loaded.

    `patterns` are Django's URL patterns.
    """
    for pattern in patterns:
        inner = getattr(pattern, "url_patterns", None)
        if inner is not None:
            weights_check(inner)
            continue
        documented = getattr(pattern.callback, "cls", None)
        for method in METHODS:
            if hasattr(documented, method.lower()):
                assert (method, pattern.name) in COSTS, f"{method} {pattern.name} has no weight"


def parameters_check(request: HttpRequest) -> None:
    """Refuse parameters, repetitions and bodies that the route does not take.

    Raises request.body_unexpected, field_unknown, duplicate_field and field_invalid.
    """
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
