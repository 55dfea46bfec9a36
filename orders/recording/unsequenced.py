"""Accepted commands that the engine has not sequenced: the worker's view of Postgres.

A row is unsequenced while its `engine_seq` is NULL, whatever the stream says. Never look for ids
above the last id seen: rows commit out of the order of their ids. An order of a list never enters
alone: the list enters with all of its orders, or each of them is refused.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import psycopg
import structlog

from exchange.domain.enums import CommandKind
from exchange.domain.ids import id_floor, id_time_ms
from exchange.domain.units import SymbolUnits
from exchange.infra.database import array_text, rows_as_dicts
from exchange.selectors import units_load
from matching.engine.messages import (
    ALL_ACCOUNTS,
    CancelAfter,
    Command,
    Place,
    PlaceList,
    RefuseFaulty,
)
from matching.worker.batch_order import Entering, Sweeping
from orders.commands.from_rows import (
    ORDER_COLUMNS,
    UNREADABLE,
    command_from_order_row,
    command_from_row,
    list_from_rows,
)

# A row whose id is further ahead than this comes from a wrong clock; the sweep takes it at once.
CLOCK_SKEW_MS_MAX: Final = 1_000
NEWLY_ACCEPTED_MAX: Final = 10_000  # orders that a batch's mass cancels can overtake

_ORDERS_WAITING = f"""
SELECT {ORDER_COLUMNS} FROM orders_order
WHERE engine_seq IS NULL AND (id < %s OR id >= %s)
  AND symbol_id IN (
    SELECT id FROM exchange_symbol WHERE partition_id = %s AND id <> ALL(%s::bigint[]))
ORDER BY id LIMIT %s
"""  # noqa: S608 - column names of ours
_COMMANDS_WAITING = """
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE engine_seq IS NULL AND (id < %s OR id >= %s) AND partition_id = %s
  AND symbol_id <> ALL(%s::bigint[])
ORDER BY id LIMIT %s
"""
# The plans of these two are kept, and only one fits each (docs/adr/0024).
COMMANDS_BY_ID = """
SELECT asked.* FROM unnest(%s::bigint[]) AS want(command_id)
CROSS JOIN LATERAL (
    SELECT id, symbol_id, order_id, payload FROM orders_command AS one
    WHERE one.id = want.command_id AND engine_seq IS NULL AND partition_id = %s OFFSET 0) AS asked
"""
ORDERS_BY_ID = f"""
SELECT placed.* FROM unnest(%s::bigint[]) AS want(order_id)
CROSS JOIN LATERAL (
    SELECT {ORDER_COLUMNS} FROM orders_order AS one
    WHERE one.id = want.order_id AND engine_seq IS NULL OFFSET 0) AS placed
"""  # noqa: S608 - column names of ours
# A list's orders have ids above the list's id: with that bound Postgres skips past partitions.
_LISTS = f"""
SELECT {ORDER_COLUMNS}, engine_seq IS NULL AS is_waiting,
    (SELECT kept.kind FROM orders_orderlist AS kept WHERE kept.id = list_id) AS list_kind
FROM orders_order WHERE list_id = ANY(%s::bigint[]) AND id > %s
ORDER BY list_id, id
"""  # noqa: S608 - column names of ours
# A command about an account's orders means the orders accepted before the command.
_MEANT: Final = """
EXISTS (
    SELECT FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS meant(symbol_id, account_id, owner_tag, before_id)
    WHERE one.symbol_id = meant.symbol_id AND one.id < meant.before_id
      AND meant.account_id IN (one.account_id, {all_accounts}){tag})
"""
_ORDERS_MEANT = f"""
SELECT {ORDER_COLUMNS} FROM orders_order AS one WHERE engine_seq IS NULL AND
{_MEANT.format(all_accounts=ALL_ACCOUNTS, tag=" AND meant.owner_tag IN (0, one.owner_tag)")}
ORDER BY id LIMIT %s
"""  # noqa: S608 - column names of ours
_CANCEL_AFTER_MEANT = f"""
SELECT id, symbol_id, order_id, payload FROM orders_command AS one
WHERE engine_seq IS NULL AND kind = '{CommandKind.CANCEL_AFTER}' AND
{_MEANT.format(all_accounts=ALL_ACCOUNTS, tag="")}
ORDER BY id LIMIT %s
"""  # noqa: S608 - column names of ours
_CANCEL_AFTER = f"""
SELECT id, symbol_id, order_id, payload FROM orders_command
WHERE engine_seq IS NULL AND kind = '{CommandKind.CANCEL_AFTER}'
  AND partition_id = %s AND symbol_id = ANY(%s::bigint[])
ORDER BY id LIMIT %s
"""  # noqa: S608 - a word of ours


log = structlog.get_logger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class UnsequencedRows:
    """The unsequenced rows of one partition, without the symbols that are `blocked`."""

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        partition_id: int,
        units: dict[int, SymbolUnits],
        blocked: Collection[int] = (),
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._connection = connection
        self._partition_id = partition_id
        self._units = units  # shared with the results; grows when a symbol is added
        self._blocked = list(blocked)
        self._now_ms = now_ms

    def confirm(self, commands: Sequence[Command]) -> dict[int, Command]:
        """Return, by id, the commands that are accepted and have no sequence yet.

        Only the ids of the arrived commands are used. The commands returned are built from the
        rows, so that a stream entry changed on its way cannot change an order.
        """
        order_ids = [one.order_id for one in commands if type(one) is Place]
        list_ids = [one.list_id for one in commands if type(one) is PlaceList]
        command_ids = [one.command_id for one in commands if not isinstance(one, Place | PlaceList)]
        order_rows = rows_as_dicts(self._connection)
        list_rows: Iterable[dict[str, Any]] = ()
        command_rows: Iterable[tuple[int, int, int | None, bytes]] = ()
        with self._connection.pipeline():
            if order_ids:
                order_rows.execute(ORDERS_BY_ID, (array_text(order_ids),), prepare=True)
            if list_ids:
                cursor = rows_as_dicts(self._connection)
                list_rows = cursor.execute(_LISTS, (list_ids, min(list_ids)))
            if command_ids:
                wanted = (array_text(command_ids), self._partition_id)
                command_rows = self._connection.execute(COMMANDS_BY_ID, wanted, prepare=True)
        # A list's order that arrives alone is ignored: the sweep finds the whole list.
        found: dict[int, Command] = {
            row["id"]: self._place(row)
            for row in (order_rows.fetchall() if order_ids else ())
            if row["list_id"] is None and self._is_ours(row["symbol_id"])
        }
        found.update((one.command_id, one) for one in self._lists(list_rows))
        found.update(
            (row[0], self._command(row)) for row in command_rows if row[1] not in self._blocked
        )
        return found

    def sweep(self, *, age_ms: int, limit: int) -> list[Command]:
        """Return at most `limit` unsequenced commands, at least `age_ms` old, in id order."""
        now_ms = self._now_ms()
        young = id_floor(now_ms - age_ms)
        wrong = id_floor(now_ms + CLOCK_SKEW_MS_MAX) if age_ms else young
        span = (young, wrong, self._partition_id, self._blocked, limit)
        with self._connection.pipeline():
            order_rows = rows_as_dicts(self._connection).execute(_ORDERS_WAITING, span)
            command_rows = self._connection.execute(_COMMANDS_WAITING, span)
        commands: list[Command] = list(self._entering(order_rows))
        commands += [self._command(row) for row in command_rows]
        commands.sort(key=lambda command: command.command_id)
        return commands[:limit]

    def cancel_after_unsequenced(self, symbol_ids: Collection[int]) -> list[CancelAfter]:
        """Return the unsequenced CancelAfter commands of these symbols, in id order."""
        wanted = (self._partition_id, list(symbol_ids), NEWLY_ACCEPTED_MAX)
        commands = [self._command(row) for row in self._connection.execute(_CANCEL_AFTER, wanted)]
        return [one for one in commands if isinstance(one, CancelAfter)]

    def needed_before(
        self, order_ids: Collection[int], sweeping: Sequence[Sweeping]
    ) -> list[Entering]:
        """Return the unsequenced commands that must be sequenced before the given ones.

        These are the named orders, each with its whole list; and for each sweeping command the
        account's orders, or its CancelAfter settings, that were accepted before that command.
        """
        setting = [one for one in sweeping if type(one) is CancelAfter]
        ending = [one for one in sweeping if type(one) is not CancelAfter or one.due_ms]
        rows: Iterable[dict[str, Any]] = ()
        meant: Iterable[dict[str, Any]] = ()
        settings: Iterable[tuple[int, int, int | None, bytes]] = ()
        with self._connection.pipeline():
            if order_ids:
                cursor = rows_as_dicts(self._connection)
                rows = cursor.execute(ORDERS_BY_ID, (array_text(order_ids),), prepare=True)
            if ending:
                cursor = rows_as_dicts(self._connection)
                meant = cursor.execute(_ORDERS_MEANT, _meant(ending))
            if setting:
                settings = self._connection.execute(_CANCEL_AFTER_MEANT, _meant(setting))
        orders = {row["id"]: row for row in (*rows, *meant)}
        commands = [self._command(row) for row in settings]
        # An unreadable setting is no CancelAfter here; the sweep finds it, and it is refused.
        set_before = [one for one in commands if isinstance(one, CancelAfter)]
        return [*self._entering(orders.values()), *set_before]

    def _entering(self, rows: Iterable[dict[str, Any]]) -> list[Place | PlaceList | RefuseFaulty]:
        """Return the commands that place these orders; one command for each list."""
        commands: list[Place | PlaceList | RefuseFaulty] = []
        list_ids: set[int] = set()
        for row in rows:
            if not self._is_ours(row["symbol_id"]):
                continue
            if row["list_id"] is None:
                commands.append(self._place(row))
            else:
                list_ids.add(row["list_id"])
        if list_ids:
            cursor = rows_as_dicts(self._connection)
            commands += self._lists(cursor.execute(_LISTS, (list(list_ids), min(list_ids))))
        return commands

    def _lists(self, rows: Iterable[dict[str, Any]]) -> list[PlaceList | RefuseFaulty]:
        """Build lists from their orders' rows, grouped by list; skip lists that are sequenced."""
        commands: list[PlaceList | RefuseFaulty] = []
        for _, group in groupby(rows, key=itemgetter("list_id")):
            orders = list(group)
            if all(self._is_ours(row["symbol_id"]) for row in orders):
                commands += self._list(orders)
        return commands

    def _list(self, rows: list[dict[str, Any]]) -> Sequence[PlaceList | RefuseFaulty]:
        waiting = [row for row in rows if row["is_waiting"]]
        if not waiting:
            return ()
        try:
            assert len(waiting) == len(rows), "the list is entered as a whole"
            units = self._units[rows[0]["symbol_id"]]
            return [list_from_rows(rows[0]["list_kind"], rows, units)]
        except UNREADABLE as error:
            list_id = rows[0]["list_id"]
            log.critical("matching.list_unreadable", list_id=list_id, error=repr(error))
            return [_refusal(row) for row in waiting]

    def _place(self, row: dict[str, Any]) -> Place | RefuseFaulty:
        try:
            return command_from_order_row(row, self._units[row["symbol_id"]])
        except UNREADABLE as error:
            # The symbol's grid changed after the order was accepted. Refusing one order is the
            # smaller harm: a raise here would stop the whole partition for ever.
            log.critical("matching.order_unreadable", order_id=row["id"], error=repr(error))
            return _refusal(row)

    def _command(self, row: tuple[int, int, int | None, bytes]) -> Command:
        """Build the command of a row; load the symbol's units if this is its first command."""
        self._learn(row[1])
        return command_from_row(*row)

    def _is_ours(self, symbol_id: int) -> bool:
        """Whether the symbol is of this partition and not blocked; look up a new symbol."""
        self._learn(symbol_id)
        return symbol_id in self._units and symbol_id not in self._blocked

    def _learn(self, symbol_id: int) -> None:
        if symbol_id not in self._units:
            self._units.update(units_load(self._connection, self._partition_id))


def _refusal(row: dict[str, Any]) -> RefuseFaulty:
    order_id = row["id"]
    return RefuseFaulty(order_id, id_time_ms(order_id), row["symbol_id"], order_id, True)


def _meant(commands: Sequence[Sweeping]) -> tuple[object, ...]:
    return (
        [one.symbol_id for one in commands],
        [one.account_id for one in commands],
        [one.owner_tag for one in commands],
        [one.command_id for one in commands],
        NEWLY_ACCEPTED_MAX,
    )
