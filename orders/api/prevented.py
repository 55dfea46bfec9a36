"""Prevented matches over HTTP: trades that self-trade prevention did not let happen."""

import re
from typing import Any, Final

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.base import ApiView, plain_request
from exchange.api.pagination import cursor_read, page_of
from exchange.api.requests import limit_of
from exchange.api.schema import CURSOR, ID, LIMIT, decimal, listed, query, responses
from exchange.domain.codes import Code
from exchange.domain.enums import Scope
from exchange.domain.errors import DomainError
from exchange.domain.ids import ID_MAX
from exchange.selectors import symbol_known
from orders.reads.orders import LIMIT_DEFAULT, LIMIT_MAX
from orders.reads.prevented import prevented_matches_of

_ID: Final = re.compile(r"[0-9]{1,19}", re.ASCII).fullmatch
_OTHER_SIDE: Final = f"{ID} Null where the order is another account's of the same group."


class PreventedMatchSerializer(serializers.Serializer[Any]):
    """Two orders that met and did not trade, because both belong to one account or group."""

    id = serializers.CharField(help_text=ID)
    symbol = serializers.CharField()
    price = decimal()
    quantity = decimal()
    mode = serializers.CharField(
        help_text="What decided: the self_trade_prevention of the order that came in."
    )
    taker_side = serializers.CharField(help_text="buy or sell: which side came in.")
    maker_order_id = serializers.CharField(allow_null=True, help_text=_OTHER_SIDE)
    taker_order_id = serializers.CharField(allow_null=True, help_text=_OTHER_SIDE)
    time = serializers.DateTimeField()


class PreventedMatchesView(ApiView):
    scope = Scope.READ

    @extend_schema(
        operation_id="prevented_matches_list",
        parameters=[
            query("symbol", "Only of this symbol."),
            query("order_id", "Only of this order of the account's own."),
            LIMIT,
            CURSOR,
        ],
        responses=responses(
            body=listed("PreventedMatches", PreventedMatchSerializer(many=True), paged=True),
            refusals=(400, 401, 403, 404),
        ),
    )
    def get(self, request: Request) -> Response:
        """The account's prevented matches, newest first."""
        django_request = plain_request(request)
        account_id = self.principal.account_id
        scope = f"prevented:{account_id}"
        limit = limit_of(django_request, default=LIMIT_DEFAULT, maximum=LIMIT_MAX)
        code = django_request.GET.get("symbol")
        found = prevented_matches_of(
            account_id,
            limit=limit + 1,
            symbol_id=symbol_known(code).units.symbol_id if code is not None else None,
            order_id=_order_id_of(django_request),
            before_id=cursor_read(django_request.GET.get("cursor"), scope=scope),
        )
        matches, following = page_of(
            found, limit=limit, scope=scope, last_id=lambda match: int(match["id"])
        )
        return Response({"items": matches, "next": following})


def _order_id_of(request: HttpRequest) -> int | None:
    text = request.GET.get("order_id")
    if text is None:
        return None
    if _ID(text) is None or int(text) > ID_MAX:
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="order_id", rule="an order's id")
    return int(text)
