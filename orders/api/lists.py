"""Lists of orders over HTTP, and the documented contract of these addresses."""

from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.bodies import Body
from exchange.api.keys import authenticated, owner_of
from exchange.api.pagination import cursor_read, page_of
from exchange.api.requests import body_decode, json_decode, limit_of, order_id_of
from exchange.api.resources import Resource
from exchange.api.schema import CURSOR, ID, LIMIT, listed, responses
from exchange.domain.codes import Code
from exchange.domain.enums import ListKind, Scope
from exchange.domain.errors import DomainError
from exchange.infra.lookups import read
from orders.api.commands import COMMAND_ID
from orders.api.refusals import RefusalRecord
from orders.api.schema import OrderSerializer
from orders.reads.lists import list_json, list_of_account, lists_of_account
from orders.reads.orders import LIMIT_DEFAULT, LIMIT_MAX
from orders.validation.lists import LIST_ORDERS_MAX, in_list, list_kind_of, list_size_check
from orders.validation.requests import OrderTermsRequest
from orders.writes import lists

_KINDS: Final = f"One of {', '.join(ListKind)}."
_KIND_PATTERN: Final = f"^(?:{'|'.join(ListKind)})$"
_REPLAYED: Final = {"Idempotent-Replayed": "true"}


class ListRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A new list.

    | type | orders |
    |---|---|
    | `oco` | two on one side; one trades, is triggered or ends, and the other is cancelled |
    | `oto` | the first one, once filled completely, lets the second one in |
    | `otoco` | the first one, once filled completely, lets the second and third in, an `oco` pair |

    At least one order of a pair has a trigger. Where the first order brings in what the others pay
    with (a buy, and then sells), these reserve nothing before, and it must bring in enough.
    """

    # The decoder checks neither words nor lengths: validation has refusals of its own for these.
    type: Annotated[
        str,
        Meta(description=_KINDS, extra_json_schema={"pattern": _KIND_PATTERN, "maxLength": 5}),
    ]
    symbol: str
    # Orders are decoded one by one, so that refusals name the order.
    orders: Annotated[
        list[msgspec.Raw],
        Meta(
            extra_json_schema={
                "minItems": 2,
                "maxItems": LIST_ORDERS_MAX,
            }
        ),
    ]


_list_decoder: Final = msgspec.json.Decoder(ListRequest)
_order_decoder: Final = msgspec.json.Decoder(OrderTermsRequest)


class OrderListSerializer(serializers.Serializer[Any]):
    """A list as its orders stand."""

    id = serializers.CharField(help_text=ID)
    type = serializers.CharField(help_text=_KINDS)
    symbol = serializers.CharField()
    orders = OrderSerializer(many=True)


class OrderListUnderWaySerializer(OrderListSerializer):
    """A list as it still stands, and the cancels that are on their way."""

    command_ids = serializers.ListField(child=serializers.CharField(), help_text=COMMAND_ID)


class OrderListsDocumentation(ApiView):
    @extend_schema(
        operation_id="order_lists_list",
        parameters=[LIMIT, CURSOR],
        responses=responses(
            body=listed("OrderLists", OrderListSerializer(many=True), paged=True),
            refusals=(400, 401, 403),
        ),
    )
    def get(self, request: Request) -> Response:
        """The account's lists of orders, newest first."""
        raise NotImplementedError

    @extend_schema(
        operation_id="order_lists_place",
        request=Body(
            "OrderListPlace", ListRequest, parts={"orders": ("ListedOrder", OrderTermsRequest)}
        ),
        responses={
            **responses(
                ok=201,
                body=OrderListSerializer(),
                refusals=(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
            ),
            200: OrderListSerializer(),
        },
    )
    def post(self, request: Request) -> Response:
        """Place linked orders: all of them, or none. 201: they are durable. 200 with
        `Idempotent-Replayed: true`: they already were. Refusals name fields as `orders.1.price`."""
        raise NotImplementedError


class OrderListDocumentation(ApiView):
    @extend_schema(
        operation_id="order_lists_get",
        responses=responses(body=OrderListSerializer(), refusals=(401, 403, 404)),
    )
    def get(self, request: Request, list_id: str) -> Response:
        """One list with its orders."""
        raise NotImplementedError

    @extend_schema(
        operation_id="order_lists_cancel",
        responses=responses(
            ok=202, body=OrderListUnderWaySerializer(), refusals=(401, 403, 404, 409, 503)
        ),
    )
    def delete(self, request: Request, list_id: str) -> Response:
        """Cancel what is left of a list. 202: the cancels are durable; shown as it still stands."""
        raise NotImplementedError


async def place(request: HttpRequest) -> Answer:
    """Answer POST /order-lists."""
    principal = await authenticated(request, Scope.TRADE, times=lambda: _orders_in(request))
    with RefusalRecord(principal, "order_list") as summary:
        body = body_decode(request, _list_decoder)
        summary.symbol = body.symbol
        kind = list_kind_of(body.type)
        list_size_check(kind, len(body.orders))
        orders = [_order(index, raw) for index, raw in enumerate(body.orders)]
        placed = await lists.list_place(principal, kind=kind, symbol=body.symbol, orders=orders)
    answer = list_json(placed.placed)
    if placed.is_replay:
        return json_answer(answer, 200, _REPLAYED)
    return json_answer(answer, 201)


def _orders_in(request: HttpRequest) -> int:
    """Return how many orders the request counts as: those of its list, or one without a list."""
    try:
        orders = body_decode(request, _list_decoder).orders
    except DomainError:
        return 1
    return min(max(1, len(orders)), LIST_ORDERS_MAX)


def _order(index: int, raw: msgspec.Raw) -> OrderTermsRequest:
    try:
        return json_decode(raw, _order_decoder)
    except DomainError as error:
        if error.field is None:  # not an object at all
            rule = "an order as the documentation has it"
            code, field = Code.REQUEST_FIELD_INVALID, f"orders.{index}"
            raise DomainError(code, field=field, rule=rule) from error
        raise in_list(error, index) from error


async def lists_page(request: HttpRequest) -> Answer:
    """Answer GET /order-lists."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(await read(owner_of(principal), _page, request, principal.account_id))


def _page(request: HttpRequest, account_id: int) -> dict[str, Any]:
    limit = limit_of(request, default=LIMIT_DEFAULT, maximum=LIMIT_MAX)
    scope = f"order-lists:{account_id}"
    before_id = cursor_read(request.GET.get("cursor"), scope=scope)
    found = lists_of_account(account_id, before_id=before_id, limit=limit + 1)
    shown, following = page_of(found, limit=limit, scope=scope, last_id=attrgetter("id"))
    return {"items": [list_json(one) for one in shown], "next": following}


async def detail(request: HttpRequest, list_id: str) -> Answer:
    """Answer GET /order-lists/{id}."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(await read(owner_of(principal), _detail, list_id, principal.account_id))


def _detail(list_id: str, account_id: int) -> dict[str, Any]:
    return list_json(list_of_account(list_id=_id_of(list_id), account_id=account_id))


async def cancel(request: HttpRequest, list_id: str) -> Answer:
    """Answer DELETE /order-lists/{id}."""
    principal = await authenticated(request, Scope.TRADE)
    sent = await lists.list_cancel(principal, list_id=_id_of(list_id))
    command_ids = [str(command_id) for command_id in sent.command_ids]
    return json_answer({**list_json(sent.found), "command_ids": command_ids}, 202)


def _id_of(text: str) -> int:
    try:
        return order_id_of(text)
    except DomainError as error:
        raise DomainError(Code.ORDER_LIST_NOT_FOUND) from error


LISTS: Final = Resource(
    "order-lists", "api-order-lists", {"GET": lists_page, "POST": place}, OrderListsDocumentation
)
LIST: Final = Resource(
    "order-lists/<str:list_id>",
    "api-order-list",
    {"GET": detail, "DELETE": cancel},
    OrderListDocumentation,
)
