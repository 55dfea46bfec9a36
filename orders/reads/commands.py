"""Reads of commands: what an account asked the engine for besides orders, and its outcome."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, CommandState
from exchange.domain.errors import DomainError
from exchange.domain.ids import id_time_ms, time_ms_text

# The kinds that a client can send. The house's own commands are shown to no client.
OWN_KINDS: Final = (
    CommandKind.CANCEL,
    CommandKind.AMEND,
    CommandKind.CANCEL_ALL,
    CommandKind.CANCEL_AFTER,
)
_COMMAND: Final = """
SELECT asked.id, asked.kind, asked.order_id, asked.engine_seq, asked.refusal, symbol.code AS symbol
FROM orders_command AS asked JOIN exchange_symbol AS symbol ON symbol.id = asked.symbol_id
WHERE asked.id = %s AND asked.account_id = %s AND asked.kind = ANY(%s::text[])
"""


def command_of_account(*, command_id: int, account_id: int) -> dict[str, Any]:
    """Return the account's command. Raises command.not_found, also for another account's."""
    kinds = [kind.value for kind in OWN_KINDS]
    with connection.cursor() as cursor:
        cursor.execute(_COMMAND, (command_id, account_id, kinds))
        row = cursor.fetchone()
        if row is None:
            raise DomainError(Code.COMMAND_NOT_FOUND)
        names = [column.name for column in cursor.description]
    return dict(zip(names, row, strict=True))


def command_json(row: Mapping[str, Any], symbol: str) -> dict[str, Any]:
    """Return a command as the API and the feed show it, from its row."""
    order_id = row["order_id"]
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "symbol": symbol,
        "order_id": None if order_id is None else str(order_id),
        "state": _state(row),
        "code": row["refusal"],
        "created_at": time_ms_text(id_time_ms(row["id"])),
    }


def _state(row: Mapping[str, Any]) -> CommandState:
    if row["engine_seq"] is None:
        return CommandState.PENDING
    return CommandState.DONE if row["refusal"] is None else CommandState.REFUSED
