"""Balances over HTTP."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.base import ApiView
from exchange.api.schema import decimal, listed, responses
from exchange.domain.enums import Scope
from wallets.selectors import balance_json, balances_of


class BalanceSerializer(serializers.Serializer[Any]):
    """What an account has of one asset."""

    asset = serializers.CharField()
    available = decimal()
    reserved = decimal()
    sequence = serializers.IntegerField(help_text="Grows with every change of this balance.")


class BalancesView(ApiView):
    scope = Scope.READ

    @extend_schema(
        operation_id="balances_list",
        responses=responses(
            body=listed("Balances", BalanceSerializer(many=True), paged=False),
            refusals=(401, 403),
        ),
    )
    def get(self, request: Request) -> Response:
        """The account's balances, by asset."""
        views = balances_of(self.principal.account_id)
        return Response({"items": [balance_json(view) for view in views]})
