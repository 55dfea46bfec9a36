"""The documented contract of the order addresses. The views themselves are plain and fast
(orders/api/views.py); a test holds the two together.
"""

from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.base import ApiView
from exchange.api.schema import CURSOR, ID, LIMIT, decimal, listed, query, responses
from exchange.domain.enums import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce

_SIDES: Final = [side.value for side in Side]
_TYPES: Final = [kind.value for kind in OrderType]
_TIMES: Final = [word.value for word in TimeInForce]
_STATUSES: Final = [status.value for status in OrderStatus]


class OrderPlaceSerializer(serializers.Serializer[Any]):
    """A new order. A limit order has a price and a quantity; a market order has a quantity, or, to
    buy, a quote amount."""

    symbol = serializers.CharField()
    side = serializers.ChoiceField(_SIDES)
    type = serializers.ChoiceField(_TYPES)
    client_order_id = serializers.CharField(
        max_length=64,
        help_text="1 to 64 of A-Z a-z 0-9 . _ : - ; the same request again is the same order.",
    )
    price = decimal(required=False)
    quantity = decimal(required=False)
    quote_amount = decimal(required=False)
    time_in_force = serializers.ChoiceField(_TIMES, required=False)
    post_only = serializers.BooleanField(required=False)
    self_trade_prevention = serializers.ChoiceField(
        [word.value for word in SelfTradePrevention], required=False
    )


class OrderAmendSerializer(serializers.Serializer[Any]):
    """New terms of an order; what is left out stays. `quantity` includes what is filled."""

    price = decimal(required=False)
    quantity = decimal(required=False)
    keep_priority = serializers.BooleanField(
        required=False, help_text="For a smaller quantity alone: the order keeps its place."
    )


class OrderSerializer(serializers.Serializer[Any]):
    """An order as it stands."""

    id = serializers.CharField(help_text=ID)
    client_order_id = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.ChoiceField(_SIDES)
    type = serializers.ChoiceField(_TYPES)
    time_in_force = serializers.ChoiceField(_TIMES)
    post_only = serializers.BooleanField()
    price = decimal(allow_null=True)
    quantity = decimal(allow_null=True)
    quote_amount = decimal(allow_null=True)
    filled = decimal()
    filled_quote = decimal()
    average_price = decimal(allow_null=True)
    left = decimal(allow_null=True)
    status = serializers.ChoiceField(_STATUSES)
    reason = serializers.CharField(
        allow_null=True, help_text="A code: why it ended or never began."
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class FillSerializer(serializers.Serializer[Any]):
    """One fill of an order, with its fee."""

    trade_id = serializers.CharField(help_text=ID)
    price = decimal()
    quantity = decimal()
    quote_amount = decimal()
    role = serializers.ChoiceField(["maker", "taker"])
    fee = decimal()
    fee_asset = serializers.CharField()
    time = serializers.DateTimeField()


class OrderDetailSerializer(OrderSerializer):
    """An order with its fills."""

    fills = FillSerializer(many=True)


class CancelAllSerializer(serializers.Serializer[Any]):
    """Where a cancel-all is under way."""

    symbols = serializers.ListField(child=serializers.CharField())


class OrdersDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_list",
        parameters=[
            query("symbol", "Only of this symbol."),
            query("status", "A status, or `open` (live) or `final`."),
            query("from", "Placed at or after: RFC 3339 with a zone, or milliseconds."),
            query("to", "Placed before."),
            query("client_order_id", "The order that has this client id."),
            LIMIT,
            CURSOR,
        ],
        responses=responses(
            body=listed("Orders", OrderSerializer(many=True), paged=True),
            refusals=(400, 401, 403, 404),
        ),
    )
    def get(self, request: Request) -> Response:
        """The account's orders, newest first."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_place",
        request=OrderPlaceSerializer(),
        responses={
            **responses(
                ok=201,
                body=OrderSerializer(),
                refusals=(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
            ),
            200: OrderSerializer(),
        },
    )
    def post(self, request: Request) -> Response:
        """Place an order. 201: it is durable. 200 with `Idempotent-Replayed: true`: it already was.
        A 503 `engine.outcome_unknown` may have been taken: ask by client_order_id, or send the very
        same request again."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_cancel_all",
        parameters=[query("symbol", "Only here."), query("side", "Only this side.", enum=_SIDES)],
        responses=responses(ok=202, body=CancelAllSerializer(), refusals=(400, 401, 403, 404, 503)),
    )
    def delete(self, request: Request) -> Response:
        """Cancel all open orders. 202: the cancels are durable and on their way."""
        raise NotImplementedError


class OrderDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_get",
        responses=responses(body=OrderDetailSerializer(), refusals=(401, 403, 404)),
    )
    def get(self, request: Request, order_id: str) -> Response:
        """One order with its fills."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_cancel",
        responses=responses(ok=202, body=OrderSerializer(), refusals=(401, 403, 404, 409, 503)),
    )
    def delete(self, request: Request, order_id: str) -> Response:
        """Cancel an order. 202: the cancel is durable; the order is shown as it still stands."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_amend",
        request=OrderAmendSerializer(),
        responses=responses(
            ok=202, body=OrderSerializer(), refusals=(400, 401, 403, 404, 409, 413, 415, 422, 503)
        ),
    )
    def patch(self, request: Request, order_id: str) -> Response:
        """Give an order a new price or quantity. It goes to the back of its queue, unless
        `keep_priority`. What it may need on top is reserved at once."""
        raise NotImplementedError
