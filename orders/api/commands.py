"""The state of a command over HTTP, and the documented contract of that address."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView
from exchange.api.keys import authenticated, owner_of
from exchange.api.requests import order_id_of
from exchange.api.resources import Resource
from exchange.api.schema import ID, responses
from exchange.domain.codes import Code
from exchange.domain.enums import CommandState, Scope
from exchange.domain.errors import DomainError
from exchange.infra.lookups import read
from orders.reads.commands import OWN_KINDS, command_json, command_of_account

COMMAND_ID: Final = f"Ask `/commands/{{id}}` what became of it. {ID}"


class CommandSerializer(serializers.Serializer[Any]):
    """A cancel, an amend, a cancel-all or a cancel-after, and what became of it."""

    id = serializers.CharField(help_text=ID)
    kind = serializers.ChoiceField([kind.value for kind in OWN_KINDS])
    symbol = serializers.CharField()
    order_id = serializers.CharField(
        allow_null=True, help_text="Null where it is about many orders."
    )
    state = serializers.ChoiceField(
        [state.value for state in CommandState],
        help_text="`pending`: durable, on its way to the engine. `done` or `refused`: final.",
    )
    code = serializers.CharField(allow_null=True, help_text="Why it was refused.")
    created_at = serializers.DateTimeField()


class CommandSentSerializer(serializers.Serializer[Any]):
    """A command on its way."""

    symbol = serializers.CharField()
    command_id = serializers.CharField(help_text=COMMAND_ID)


class CommandsSentSerializer(serializers.Serializer[Any]):
    """Where commands are under way."""

    symbols = serializers.ListField(child=serializers.CharField())
    commands = CommandSentSerializer(many=True)


def commands_json(commands: Mapping[str, int]) -> dict[str, Any]:
    """Return the JSON of the commands that were sent, by symbol code."""
    sent = [{"symbol": code, "command_id": str(one)} for code, one in commands.items()]
    return {"symbols": list(commands), "commands": sent}


class CommandDocumentation(ApiView):
    @extend_schema(
        operation_id="commands_get",
        responses=responses(body=CommandSerializer(), refusals=(400, 401, 403, 404)),
    )
    def get(self, request: Request, command_id: str) -> Response:
        """What became of a cancel, an amend, a cancel-all or a cancel-after."""
        raise NotImplementedError


async def command(request: HttpRequest, command_id: str) -> Answer:
    """Answer GET /commands/{id}."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(await read(owner_of(principal), _command, command_id, principal.account_id))


def _command(command_id: str, account_id: int) -> dict[str, Any]:
    try:
        asked_id = order_id_of(command_id)
    except DomainError as error:
        raise DomainError(Code.COMMAND_NOT_FOUND) from error
    row = command_of_account(command_id=asked_id, account_id=account_id)
    return command_json(row, row["symbol"])


COMMAND: Final = Resource(
    "commands/<str:command_id>", "api-command", {"GET": command}, CommandDocumentation
)
