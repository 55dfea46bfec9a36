"""One order by the id that its client gave it, and the documented contract of this address."""

from typing import Any, Final

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.keys import authenticated, owner_of
from exchange.api.resources import Resource
from exchange.api.schema import responses
from exchange.domain.codes import Code
from exchange.domain.enums import Scope
from exchange.domain.errors import DomainError
from exchange.infra.lookups import here_or_thread, read
from orders.api.schema import OrderDetailSerializer, OrderUnderWaySerializer
from orders.api.views import detail_json, sent_answer
from orders.reads.orders import order_id_find
from orders.validation.orders import is_client_order_id
from orders.writes.orders import account_of, order_cancel


class OrderByClientIdDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_get_by_client_id",
        responses=responses(body=OrderDetailSerializer(), refusals=(400, 401, 403, 404)),
    )
    def get(self, request: Request, client_order_id: str) -> Response:
        """The order that has this client order id, with its fills."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_cancel_by_client_id",
        responses=responses(
            ok=202, body=OrderUnderWaySerializer(), refusals=(401, 403, 404, 409, 503)
        ),
    )
    def delete(self, request: Request, client_order_id: str) -> Response:
        """Cancel the order that has this client order id, as by its own id."""
        raise NotImplementedError


async def detail(request: HttpRequest, client_order_id: str) -> Answer:
    """Answer GET /orders/by-client-id/{client_order_id}."""
    principal = await authenticated(request, Scope.READ)
    found = await read(owner_of(principal), _detail, principal.account_id, client_order_id)
    return json_answer(found)


def _detail(account_id: int, client_order_id: str) -> dict[str, Any]:
    return detail_json(_order_id(account_id, client_order_id), account_id)


async def cancel(request: HttpRequest, client_order_id: str) -> Answer:
    """Answer DELETE /orders/by-client-id/{client_order_id}."""
    principal = await authenticated(request, Scope.TRADE)
    order_id = await here_or_thread(_order_id, account_of(principal), client_order_id)
    return await sent_answer(await order_cancel(principal, order_id=order_id))


def _order_id(account_id: int, client_order_id: str) -> int:
    if not is_client_order_id(client_order_id):
        raise DomainError(Code.ORDER_NOT_FOUND)
    return order_id_find(account_id=account_id, client_order_id=client_order_id)


BY_CLIENT_ID: Final = Resource(
    "orders/by-client-id/<str:client_order_id>",
    "api-order-by-client-id",
    {"GET": detail, "DELETE": cancel},
    OrderByClientIdDocumentation,
)
