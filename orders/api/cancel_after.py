"""Cancel-after over HTTP."""

from typing import Annotated, Final

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
from exchange.api.keys import authenticated
from exchange.api.requests import body_decode
from exchange.api.resources import Resource
from exchange.api.schema import responses
from exchange.domain.enums import Scope
from exchange.domain.ids import time_ms_text
from orders.api.commands import CommandsSentSerializer, commands_json
from orders.writes.cancel_after import (
    SCOPE_ACCOUNT,
    SCOPE_KEY,
    TIMEOUT_MAX_MS,
    TIMEOUT_MIN_MS,
    cancel_after_set,
)


class CancelAfterRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A cancel-after: send it again and again, and all is well."""

    # The decoder takes any number and word: the service refuses with a code of its own.
    timeout_ms: Annotated[
        int,
        Meta(
            description=f"0 clears it; else {TIMEOUT_MIN_MS} to {TIMEOUT_MAX_MS}. A JSON number.",
            extra_json_schema={"minimum": 0, "maximum": TIMEOUT_MAX_MS},
        ),
    ]
    symbol: Annotated[str | None, Meta(description="Only here; default: everywhere.")] = None
    scope: Annotated[
        str | None,
        Meta(
            description="All orders of the account (default), or those placed with the key that"
            " signs.",
            extra_json_schema={"enum": [SCOPE_ACCOUNT, SCOPE_KEY]},
        ),
    ] = None


_decoder: Final = msgspec.json.Decoder(CancelAfterRequest)


class CancelAfterSetSerializer(CommandsSentSerializer):
    """When and where the orders will be cancelled."""

    due_at = serializers.DateTimeField(allow_null=True)


class CancelAfterDocumentation(ApiView):
    @extend_schema(
        operation_id="orders_cancel_after",
        request=Body("CancelAfter", CancelAfterRequest),
        responses=responses(
            ok=202,
            body=CancelAfterSetSerializer(),
            refusals=(400, 401, 403, 404, 413, 415, 503),
        ),
    )
    def post(self, request: Request) -> Response:
        """Cancel all open orders at `due_at`, unless this is sent again before. 202: durable."""
        raise NotImplementedError


async def cancel_after(request: HttpRequest) -> Answer:
    """Answer POST /orders/cancel-after."""
    principal = await authenticated(request, Scope.TRADE)
    body = body_decode(request, _decoder)
    answer = await cancel_after_set(
        principal, timeout_ms=body.timeout_ms, symbol=body.symbol, scope=body.scope
    )
    due_at = time_ms_text(answer.due_ms) if answer.due_ms else None
    return json_answer({"due_at": due_at, **commands_json(answer.commands)}, 202)


CANCEL_AFTER: Final = Resource(
    "orders/cancel-after", "api-cancel-after", {"POST": cancel_after}, CancelAfterDocumentation
)
