"""Public market data: depth as the worker last wrote it, and trades."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from msgspec import Struct
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.pagination import cursor_read, page_of
from exchange.api.requests import limit_of
from exchange.api.resources import Resource
from exchange.api.schema import CURSOR, LIMIT, counted, decimal, listed, query, responses
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.http.address import client_address, network_of
from exchange.infra.lookups import public_read
from exchange.infra.redis import KeyReader, RedisAway, book_key
from exchange.selectors import symbol_known
from orders.reads.orders import LIMIT_DEFAULT, LIMIT_MAX, trades_of_symbol

DEPTH_DEFAULT: Final = 20
DEPTH_MAX: Final = 1_000


class StoredDepth(Struct):
    """The fields of the worker's snapshot frame that GET /depth returns."""

    sequence: int
    time: str
    bids: Sequence[tuple[str, str]]
    asks: Sequence[tuple[str, str]]


_frame_decoder: Final = msgspec.json.Decoder(StoredDepth)
reader: Final = KeyReader()


class DepthSerializer(serializers.Serializer[Any]):
    """Both sides of a book, best first: pairs of price and quantity."""

    symbol = serializers.CharField()
    sequence = serializers.IntegerField(help_text="Of the depth channel, to join the feed by.")
    time = serializers.DateTimeField()
    bids = serializers.ListField(child=serializers.ListField(child=decimal()))
    asks = serializers.ListField(child=serializers.ListField(child=decimal()))


class DepthDocumentation(ApiView):
    @extend_schema(
        operation_id="depth_get",
        parameters=[
            query("symbol", "Such as BTC-USDT.", required=True),
            counted("limit", DEPTH_MAX, "Levels a side; default 20."),
        ],
        responses=responses(body=DepthSerializer(), refusals=(400, 404, 503)),
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """The order book, at most 200 ms old."""
        raise NotImplementedError


async def depth(request: HttpRequest) -> Answer:
    """Answer GET /depth."""
    return json_answer(await public_read(network_of(client_address(request)), _depth, request))


def _depth(request: HttpRequest) -> dict[str, Any]:
    """Return the depth frame that the worker keeps in Redis, cut to `limit` levels; no query."""
    code = symbol_code_of(request)
    limit = limit_of(request, default=DEPTH_DEFAULT, maximum=DEPTH_MAX)
    data = _book(code)
    if data is None:  # no worker has run yet, or Redis was emptied a moment ago
        raise DomainError(Code.ENGINE_UNAVAILABLE)
    frame = _frame_decoder.decode(data)
    return {
        "symbol": code,
        "sequence": frame.sequence,
        "time": frame.time,
        "bids": frame.bids[:limit],
        "asks": frame.asks[:limit],
    }


DEPTH: Final = Resource("depth", "api-depth", {"GET": depth}, DepthDocumentation)


def _book(code: str) -> bytes | None:
    try:
        return reader.get(book_key(code))
    except RedisAway as error:
        raise DomainError(Code.ENGINE_UNAVAILABLE) from error


def symbol_code_of(request: HttpRequest) -> str:
    """Return the `symbol` parameter. Raises request.field_missing and symbol.unknown."""
    code = request.GET.get("symbol")
    if code is None:
        raise DomainError(Code.REQUEST_FIELD_MISSING, field="symbol")
    return symbol_known(code).units.code


class TradeSerializer(serializers.Serializer[Any]):
    """One public trade."""

    id = serializers.CharField()
    price = decimal()
    quantity = decimal()
    taker_side = serializers.CharField(help_text="buy or sell: who took what was in the book.")
    time = serializers.DateTimeField()


class TradesDocumentation(ApiView):
    @extend_schema(
        operation_id="trades_list",
        parameters=[query("symbol", "Such as BTC-USDT.", required=True), LIMIT, CURSOR],
        responses=responses(
            body=listed("Trades", TradeSerializer(many=True), paged=True), refusals=(400, 404)
        ),
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """The symbol's trades, newest first."""
        raise NotImplementedError


async def trades(request: HttpRequest) -> Answer:
    """Answer GET /trades."""
    return json_answer(await public_read(network_of(client_address(request)), _trades, request))


def _trades(request: HttpRequest) -> dict[str, Any]:
    code = symbol_code_of(request)
    limit = limit_of(request, default=LIMIT_DEFAULT, maximum=LIMIT_MAX)
    scope = f"trades:{code}"
    before_id = cursor_read(request.GET.get("cursor"), scope=scope)
    symbol_id = symbol_known(code).units.symbol_id
    found = trades_of_symbol(symbol_id, limit=limit + 1, before_id=before_id)
    shown, following = page_of(
        found, limit=limit, scope=scope, last_id=lambda trade: int(trade["id"])
    )
    return {"items": shown, "next": following}


TRADES: Final = Resource("trades", "api-trades", {"GET": trades}, TradesDocumentation)
