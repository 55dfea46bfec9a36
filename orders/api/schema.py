"""The documented contract of the order addresses. The views themselves are plain and fast
(orders/api/views.py); a test holds the two together.
"""

from typing import Any, Final

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.base import ApiView
from exchange.api.bodies import Body, struct_schema
from exchange.api.requests import decimal_fields
from exchange.api.schema import (
    CURSOR,
    DECIMAL,
    ID,
    LIMIT,
    counted,
    decimal,
    listed,
    query,
    responses,
)
from exchange.domain.enums import (
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggerSource,
)
from orders.api.commands import COMMAND_ID, CommandSerializer, CommandsSentSerializer
from orders.reads.detail import FILLS_DEFAULT, FILLS_MAX
from orders.validation.requests import (
    TERM_FIELDS,
    TRAIL_BPS_MAX,
    AmendRequest,
    OrderRequest,
    OrderTermsRequest,
)

_SIDES: Final = [side.value for side in Side]
_TYPES: Final = [kind.value for kind in OrderType]
_TIMES: Final = [word.value for word in TimeInForce]
_STATUSES: Final = [status.value for status in OrderStatus]
_SOURCES: Final = [source.value for source in TriggerSource]
_SELF_TRADES: Final = [word.value for word in SelfTradePrevention]
_TRIGGER_SOURCE: Final = (
    "What a trigger watches: the last trade (default), or the best price it would trade with."
)
_TRAIL_BPS: Final = f"The same in basis points of that price, 1 to {TRAIL_BPS_MAX}: a JSON number."


def _decimal(text: str, **options: Any) -> serializers.CharField:
    """A decimal whose meaning needs a word."""
    return decimal(help_text=f"{text} {DECIMAL}", **options)


def _decimal_terms() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """Return the decimals among the terms of a request: an order shows them under these names."""
    described = struct_schema(OrderTermsRequest)["properties"]
    decimals = decimal_fields(OrderTermsRequest)
    return {
        name: decimal(help_text=described[name]["description"], allow_null=True)
        for name in TERM_FIELDS
        if name in decimals
    }


class OrderSerializer(serializers.Serializer[Any]):
    """An order as it stands."""

    id = serializers.CharField(help_text=ID)
    client_order_id = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.ChoiceField(_SIDES)
    type = serializers.ChoiceField(_TYPES)
    time_in_force = serializers.ChoiceField(_TIMES)
    post_only = serializers.BooleanField()
    reprice = serializers.BooleanField()
    self_trade_prevention = serializers.ChoiceField(_SELF_TRADES)
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
    expiry_reason = serializers.CharField(
        allow_null=True, help_text="`reason` of an order that is expired or cancelled."
    )
    trigger_source = serializers.ChoiceField(_SOURCES, allow_null=True, help_text=_TRIGGER_SOURCE)
    trail_bps = serializers.IntegerField(allow_null=True, help_text=_TRAIL_BPS)
    trail_stop_price = _decimal(
        "Where a trailing stop stands; null before its activation. Told at most twice a second.",
        allow_null=True,
    )
    trail_bound_price = _decimal("And the bound that it would trade within now.", allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    reference_price = _decimal(
        "What slippage counts from: the best opposite price when a market order was accepted, or"
        " the price that triggered a stop.",
        allow_null=True,
    )
    slippage = serializers.CharField(
        allow_null=True,
        help_text="By how much average_price is worse than reference_price, as a fraction with six"
        " places; below 0 it is better.",
    )
    list_id = serializers.CharField(allow_null=True, help_text=f"Its order list. {ID}")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return super().get_fields() | _decimal_terms()


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
    """An order with its fills, oldest first, and its last amend: all of one moment."""

    last_amend = CommandSerializer(allow_null=True)
    fills = FillSerializer(many=True, help_text=f"The first {FILLS_DEFAULT}.")
    fills_total = serializers.IntegerField()
    fills_next = serializers.CharField(
        allow_null=True, help_text="Cursor for `/orders/{id}/fills`, null where these are all."
    )


class OrderUnderWaySerializer(OrderSerializer):
    """An order as it still stands, and the command that is on its way."""

    command_id = serializers.CharField(help_text=COMMAND_ID)


class OrdersDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_list",
        parameters=[
            query("symbol", "Only of this symbol."),
            query(
                "status",
                "A status, or `open` (live) or `final`; may stand several times.",
                many=True,
            ),
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
        request=Body("OrderPlace", OrderRequest),
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
        parameters=[
            query("symbol", "Only here."),
            query("side", "Only this side.", enum=_SIDES),
            query("key", "Only what the same API key placed.", enum=["own"]),
        ],
        responses=responses(
            ok=202, body=CommandsSentSerializer(), refusals=(400, 401, 403, 404, 409, 503)
        ),
    )
    def delete(self, request: Request) -> Response:
        """Cancel all open and waiting orders. 202: the cancels are durable and on their way.
        Shortly before an auction's end a symbol takes none: it is not in the answer."""
        raise NotImplementedError


class OrderDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_get",
        responses=responses(body=OrderDetailSerializer(), refusals=(400, 401, 403, 404)),
    )
    def get(self, request: Request, order_id: str) -> Response:
        """One order with its fills."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_cancel",
        responses=responses(
            ok=202, body=OrderUnderWaySerializer(), refusals=(401, 403, 404, 409, 503)
        ),
    )
    def delete(self, request: Request, order_id: str) -> Response:
        """Cancel an order. 202: the cancel is durable; the order is shown as it still stands.
        What became of it: `/commands/{id}`, or a frame of the `orders` channel."""
        raise NotImplementedError

    @extend_schema(
        operation_id="orders_amend",
        request=Body("OrderAmend", AmendRequest),
        responses=responses(
            ok=202,
            body=OrderUnderWaySerializer(),
            refusals=(400, 401, 403, 404, 409, 413, 415, 422, 503),
        ),
    )
    def patch(self, request: Request, order_id: str) -> Response:
        """Give an order a new price, quantity, stop price or displayed quantity. It goes to the
        back of its queue, unless `keep_priority`. What it may need on top is reserved at once.
        202: durable, but not done: `/commands/{id}`, the order's `last_amend`, or a frame of the
        `orders` channel tells what became of it."""
        raise NotImplementedError


class OrderFillsDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_fills",
        parameters=[
            counted("limit", FILLS_MAX, f"1 to {FILLS_MAX}; default {FILLS_DEFAULT}."),
            CURSOR,
        ],
        responses=responses(
            body=inline_serializer(
                "Fills",
                fields={
                    "items": FillSerializer(many=True),
                    "total": serializers.IntegerField(),
                    "next": serializers.CharField(allow_null=True),
                },
            ),
            refusals=(400, 401, 403, 404),
        ),
    )
    def get(self, request: Request, order_id: str) -> Response:
        """An order's fills, oldest first."""
        raise NotImplementedError
