"""Batches of orders and of cancels over HTTP, and the documented contract of these addresses.

An answer has one result for each part, in the order asked. The request as a whole is refused only
where nothing of it was taken: by who asks, rate, body, number, repeated client ids, a full queue.

Cancels are sent with POST: what a body means in a DELETE is not defined (RFC 9110, 9.3.5), so
clients and proxies drop it, and OpenAPI does not describe it.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.principals import Principal
from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.bodies import Body
from exchange.api.keys import authenticated
from exchange.api.requests import body_decode, json_decode, order_id_of
from exchange.api.resources import Resource
from exchange.api.schema import responses
from exchange.domain.codes import Code
from exchange.domain.enums import Scope
from exchange.domain.errors import DomainError
from orders.api.refusals import RefusalRecord
from orders.api.schema import OrderSerializer, OrderUnderWaySerializer
from orders.api.views import after_commit, under_way_json
from orders.reads.orders import order_json
from orders.validation.orders import is_client_order_id
from orders.validation.requests import OrderRequest
from orders.writes import batches
from orders.writes.batches import BATCH_ORDERS_MAX
from orders.writes.orders import Placed, UnderWay

_SIZE: Final = {"maxItems": BATCH_ORDERS_MAX}
_SIZE_RULE: Final = f"1 to {BATCH_ORDERS_MAX} in a batch"


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Orders of any symbols, each with a client order id of its own."""

    # Orders are decoded one by one, so that each is refused for itself.
    orders: Annotated[list[msgspec.Raw], Meta(extra_json_schema={"minItems": 1, **_SIZE})]


class BatchCancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Orders to cancel, by their ids, their client ids or both."""

    order_ids: Annotated[list[str], Meta(extra_json_schema=_SIZE)] = []
    client_order_ids: Annotated[list[str], Meta(extra_json_schema=_SIZE)] = []


_batch_decoder: Final = msgspec.json.Decoder(BatchRequest)
_order_decoder: Final = msgspec.json.Decoder(OrderRequest)
_cancel_decoder: Final = msgspec.json.Decoder(BatchCancelRequest)


class RefusedSerializer(serializers.Serializer[Any]):
    """Why a part of a batch was refused."""

    code = serializers.CharField()
    detail = serializers.CharField()
    field = serializers.CharField(help_text="Its path in the request: `orders.1.price`.")
    params = serializers.DictField()


class BatchResultSerializer(serializers.Serializer[Any]):
    """What became of one order: it as it stands, or why it was refused."""

    status = serializers.IntegerField(
        help_text="201: durable. 200: it already was. Else as the order alone is refused."
    )
    order = OrderSerializer(required=False)
    error = RefusedSerializer(required=False)


class BatchSerializer(serializers.Serializer[Any]):
    """One result for each order, in the order asked."""

    results = BatchResultSerializer(many=True)


class BatchCancelResultSerializer(serializers.Serializer[Any]):
    """What became of one cancel."""

    status = serializers.IntegerField(help_text="202: the cancel is durable.")
    order = OrderUnderWaySerializer(required=False)
    error = RefusedSerializer(required=False)


class BatchCancelSerializer(serializers.Serializer[Any]):
    """One result for each id: those of `order_ids`, then those of `client_order_ids`."""

    results = BatchCancelResultSerializer(many=True)


class BatchDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_batch",
        request=Body("OrderBatch", BatchRequest, parts={"orders": ("BatchOrder", OrderRequest)}),
        responses=responses(
            body=BatchSerializer(), refusals=(400, 401, 403, 413, 415, 422, 429, 503)
        ),
    )
    def post(self, request: Request) -> Response:
        """Place independent orders in one request. Each is accepted or refused for itself, in the
        order given; sent again, each is the same order. Counts as so many orders, all or none."""
        raise NotImplementedError


class BatchCancelDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_batch_cancel",
        request=Body("OrderBatchCancel", BatchCancelRequest),
        responses=responses(
            body=BatchCancelSerializer(), refusals=(400, 401, 403, 413, 415, 429, 503)
        ),
    )
    def post(self, request: Request) -> Response:
        """Cancel orders in one request; each cancel is durable or refused for itself. What became
        of it: `/commands/{id}`, or a frame of the `orders` channel."""
        raise NotImplementedError


async def place(request: HttpRequest) -> Answer:
    """Answer POST /orders/batch."""
    asked = cache(lambda: body_decode(request, _batch_decoder).orders)  # decoded once
    principal = await authenticated(request, Scope.TRADE, times=partial(_weight, asked))
    with RefusalRecord(principal, "order_batch"):
        _size_check(asked(), "orders")
        wanted = [_order(raw) for raw in asked()]
        _client_ids_check(wanted)
        placed = await batches.orders_place(principal, wanted)
    _refusals_record(principal, wanted, placed)
    return json_answer({"results": [_placed_json(*one) for one in enumerate(placed)]})


async def cancel(request: HttpRequest) -> Answer:
    """Answer POST /orders/batch-cancel."""
    asked = cache(lambda: _names(body_decode(request, _cancel_decoder)))
    principal = await authenticated(request, Scope.TRADE, times=partial(_weight, asked))
    names = asked()
    _size_check(names, "order_ids")
    sent = await batches.orders_cancel(principal, [_wanted(*name) for name in names])
    places = [f"{field}.{index}" for field, index, _ in names]
    return json_answer({"results": await after_commit(_sent_json, places, sent)})


def _weight(asked: Callable[[], Sequence[object]]) -> int:
    """Return how many orders or cancels a request counts as: one without a readable body."""
    try:
        return min(max(1, len(asked())), BATCH_ORDERS_MAX)
    except DomainError:
        return 1


def _size_check(parts: Sequence[object], field: str) -> None:
    if not 1 <= len(parts) <= BATCH_ORDERS_MAX:
        raise DomainError(Code.REQUEST_FIELD_INVALID, field=field, rule=_SIZE_RULE)


def _order(raw: msgspec.Raw) -> OrderRequest | DomainError:
    try:
        return json_decode(raw, _order_decoder)
    except DomainError as refusal:
        if refusal.field is not None:
            return refusal
        rule = "an order as the documentation has it"
        return DomainError(Code.REQUEST_FIELD_INVALID, rule=rule)  # not an object at all


def _client_ids_check(wanted: Sequence[OrderRequest | DomainError]) -> None:
    seen: set[str] = set()
    for index, one in enumerate(wanted):
        if isinstance(one, DomainError):
            continue
        if one.client_order_id in seen:
            rule, field = "each order has one of its own", f"orders.{index}.client_order_id"
            raise DomainError(Code.REQUEST_FIELD_INVALID, field=field, rule=rule)
        seen.add(one.client_order_id)


def _refusals_record(
    principal: Principal,
    wanted: Sequence[OrderRequest | DomainError],
    placed: Sequence[Placed | DomainError],
) -> None:
    for one, result in zip(wanted, placed, strict=True):
        if isinstance(result, DomainError):
            symbol = one.symbol if isinstance(one, OrderRequest) else None
            RefusalRecord(principal, "order", symbol).write(result)


def _placed_json(index: int, placed: Placed | DomainError) -> dict[str, Any]:
    if isinstance(placed, DomainError):
        own = "" if placed.field is None else f".{placed.field}"
        return _refused_json(placed, f"orders.{index}{own}")
    status = 200 if placed.is_replay else 201
    return {"status": status, "order": order_json(placed.order, placed.symbol)}


def _names(body: BatchCancelRequest) -> list[tuple[str, int, str]]:
    """Return the ids of a body, each with its field and its place there."""
    fields = {"order_ids": body.order_ids, "client_order_ids": body.client_order_ids}
    return [(name, index, one) for name, ids in fields.items() for index, one in enumerate(ids)]


def _wanted(field: str, _: int, text: str) -> int | str | DomainError:
    if field == "client_order_ids":
        return text if is_client_order_id(text) else DomainError(Code.ORDER_NOT_FOUND)
    try:
        return order_id_of(text)
    except DomainError as refusal:
        return refusal


def _sent_json(
    places: Sequence[str], sent: Sequence[UnderWay | DomainError]
) -> list[dict[str, Any]]:
    return [
        _refused_json(one, place)
        if isinstance(one, DomainError)
        else {"status": 202, "order": under_way_json(one)}
        for place, one in zip(places, sent, strict=True)
    ]


def _refused_json(refusal: DomainError, field: str) -> dict[str, Any]:
    """Return the result of a refused part; `field` is its path in the request."""
    told = DomainError(refusal.code, field=field, **refusal.params)
    error = {
        "code": told.code.value,
        "detail": told.detail,
        "field": field,
        "params": told.params,
    }
    return {"status": told.http_status, "error": error}


BATCH: Final = Resource("orders/batch", "api-orders-batch", {"POST": place}, BatchDocumentation)
BATCH_CANCEL: Final = Resource(
    "orders/batch-cancel", "api-orders-batch-cancel", {"POST": cancel}, BatchCancelDocumentation
)
