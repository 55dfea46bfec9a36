"""Accepted commands that the engine has not sequenced: the worker's view of Postgres.

A row is unsequenced while its `engine_seq` is NULL, exactly once, whatever the stream says. Never
look for "id above the last one": rows commit out of the order of their ids.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import psycopg
import structlog

from exchange.domain.ids import id_floor, id_time_ms
from exchange.domain.units import SymbolUnits
from matching.messages import CancelAll, Command, Place, RefuseFaulty
from orders.loading import (
    ORDER_COLUMNS,
    command_from_order_row,
    command_from_row,
    rows_as_dicts,
    units_load,
)
from orders.resting import UNREADABLE

# A row whose id is further ahead than this was made by a clock that is wrong: it is due now.
CLOCK_SKEW_MS_MAX: Final = 1_000
NEWLY_ACCEPTED_MAX: Final = 10_000  # orders that one cancel-all can overtake

_COMMANDS_BY_ID = """
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE id = ANY(%s::bigint[]) AND engine_seq IS NULL AND partition_id = %s
"""
_ORDERS_WAITING = f"""
SELECT {ORDER_COLUMNS} FROM orders_order
WHERE engine_seq IS NULL AND (id < %s OR id >= %s)
  AND symbol_id IN (SELECT id FROM exchange_symbol WHERE partition_id = %s)
ORDER BY id LIMIT %s
"""  # noqa: S608 - column names of ours
_COMMANDS_WAITING = """
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE engine_seq IS NULL AND (id < %s OR id >= %s) AND partition_id = %s
ORDER BY id LIMIT %s
"""
_ORDERS_BY_ID = f"""
SELECT {ORDER_COLUMNS} FROM orders_order WHERE id = ANY(%s::bigint[]) AND engine_seq IS NULL
"""  # noqa: S608 - column names of ours
_ORDERS_OF_ACCOUNT = f"""
SELECT {ORDER_COLUMNS} FROM orders_order
WHERE engine_seq IS NULL AND account_id = %s AND symbol_id = %s AND id < %s
ORDER BY id LIMIT %s
"""  # noqa: S608 - column names of ours


log = structlog.get_logger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class AcceptedRows:
    """The unsequenced rows of one partition."""

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        partition_id: int,
        units: dict[int, SymbolUnits],
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._connection = connection
        self._partition_id = partition_id
        self._units = units  # shared with the results; grows when a symbol is added
        self._now_ms = now_ms

    def unsequenced(self, commands: Sequence[Command]) -> dict[int, Command]:
        """Return those commands that are accepted and have no sequence yet, by id.

        Only the ids are taken from what arrived. What is applied is what the rows say, so that
        nothing the transport does to an entry can change an order.
        """
        order_ids = [one.order_id for one in commands if type(one) is Place]
        command_ids = [one.command_id for one in commands if type(one) is not Place]
        order_rows: Iterable[dict[str, Any]] = ()
        command_rows: Iterable[tuple[int, int, int | None, bytes]] = ()
        with self._connection.pipeline():
            if order_ids:
                cursor = rows_as_dicts(self._connection)
                order_rows = cursor.execute(_ORDERS_BY_ID, (order_ids,))
            if command_ids:
                wanted = (command_ids, self._partition_id)
                command_rows = self._connection.execute(_COMMANDS_BY_ID, wanted)
        found: dict[int, Command] = {one.command_id: one for one in self._places(order_rows)}
        found.update((row[0], command_from_row(*row)) for row in command_rows)
        return found

    def sweep(self, *, age_ms: int, limit: int) -> list[Command]:
        """Return accepted commands without a sequence, at least this old, by id."""
        now_ms = self._now_ms()
        young = id_floor(now_ms - age_ms)
        wrong = id_floor(now_ms + CLOCK_SKEW_MS_MAX) if age_ms else young
        span = (young, wrong, self._partition_id, limit)
        with self._connection.pipeline():
            order_rows = rows_as_dicts(self._connection).execute(_ORDERS_WAITING, span)
            command_rows = self._connection.execute(_COMMANDS_WAITING, span)
        commands: list[Command] = list(self._places(order_rows))
        commands += [command_from_row(*row) for row in command_rows]
        commands.sort(key=lambda command: command.command_id)
        return commands[:limit]

    def orders_unsequenced(
        self, order_ids: Collection[int], cancel_alls: Sequence[CancelAll]
    ) -> list[Place | RefuseFaulty]:
        """Return the named orders, and those a cancel-all means, that have no sequence yet."""
        cursor = rows_as_dicts(self._connection)
        places: list[Place | RefuseFaulty] = []
        if order_ids:
            places += self._places(cursor.execute(_ORDERS_BY_ID, (list(order_ids),)))
        for one in cancel_alls:
            key = (one.account_id, one.symbol_id, one.command_id, NEWLY_ACCEPTED_MAX)
            places += self._places(cursor.execute(_ORDERS_OF_ACCOUNT, key))
        return places

    def _places(self, rows: Iterable[dict[str, Any]]) -> list[Place | RefuseFaulty]:
        return [self._place(row) for row in rows if self._is_ours(row["symbol_id"])]

    def _place(self, row: dict[str, Any]) -> Place | RefuseFaulty:
        try:
            return command_from_order_row(row, self._units[row["symbol_id"]])
        except UNREADABLE as error:
            # Somebody moved the symbol's grid under an order that was under way. One refused
            # order is the smaller harm: a raise here would stop the whole partition for ever.
            order_id = row["id"]
            log.critical("matching.order_unreadable", order_id=order_id, error=repr(error))
            return RefuseFaulty(order_id, id_time_ms(order_id), row["symbol_id"], order_id, True)

    def _is_ours(self, symbol_id: int) -> bool:
        """Whether the symbol belongs to this partition; one that is new is looked up."""
        if symbol_id not in self._units:
            self._units.update(units_load(self._connection, self._partition_id))
        return symbol_id in self._units
