"""Balances over HTTP."""

from typing import Any, Final

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.keys import authenticated, owner_of
from exchange.api.resources import Resource
from exchange.api.schema import decimal, listed, responses
from exchange.domain.enums import Scope
from exchange.infra.lookups import read
from wallets.selectors import balance_json, balances_of


class BalanceSerializer(serializers.Serializer[Any]):
    """What an account has of one asset."""

    asset = serializers.CharField()
    available = decimal()
    reserved = decimal()
    sequence = serializers.IntegerField(help_text="Grows with every change of this balance.")


class BalancesDocumentation(ApiView):
    @extend_schema(
        operation_id="balances_list",
        responses=responses(
            body=listed("Balances", BalanceSerializer(many=True), paged=False),
            refusals=(401, 403),
        ),
    )
    def get(self, request: Request) -> Response:
        """The account's balances, by asset."""
        raise NotImplementedError


async def balances(request: HttpRequest) -> Answer:
    """Answer GET /balances."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(await read(owner_of(principal), _balances, principal.account_id))


def _balances(account_id: int) -> dict[str, Any]:
    return {"items": [balance_json(one) for one in balances_of(account_id)]}


BALANCES: Final = Resource("balances", "api-balances", {"GET": balances}, BalancesDocumentation)
