"""A test of an order over HTTP, and the documented contract of this address."""

from typing import Any, Final

import msgspec
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.bodies import Body
from exchange.api.keys import authenticated
from exchange.api.requests import body_decode
from exchange.api.resources import Resource
from exchange.api.schema import decimal, responses
from exchange.domain.enums import Scope
from orders.validation.requests import OrderRequest
from orders.writes.dry_run import order_test

_decoder: Final = msgspec.json.Decoder(OrderRequest)


class ReservesSerializer(serializers.Serializer[Any]):
    """What an order would reserve."""

    asset = serializers.CharField()
    amount = decimal()


class OrderTestDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_test",
        request=Body("OrderTest", OrderRequest),
        responses=responses(
            body=inline_serializer(
                "OrderTested",
                fields={
                    "is_valid": serializers.BooleanField(help_text="Always: else it is refused."),
                    "reserves": ReservesSerializer(),
                },
            ),
            refusals=(400, 401, 403, 404, 413, 415, 422, 429, 503),
        ),
    )
    def post(self, request: Request) -> Response:
        """Check an order as if it were placed, and change nothing. Not asked: whether the account
        has the funds and the places for it, and whether its client order id is in use."""
        raise NotImplementedError


async def test(request: HttpRequest) -> Answer:
    """Answer POST /orders/test."""
    principal = await authenticated(request, Scope.TRADE)
    reserves = await order_test(principal, body_decode(request, _decoder))
    return json_answer({"is_valid": True, "reserves": reserves._asdict()})


TEST: Final = Resource("orders/test", "api-orders-test", {"POST": test}, OrderTestDocumentation)
