"""The look-up of orders that are about to be amended, for the event loop: as cheap as it can be.

One thread asks for the orders of a moment by one statement, over a connection of its own: its plan
is kept (docs/adr/0024), and only the columns are read that an amend is checked against.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.database import array_text, connect, rows_as_dicts
from exchange.infra.event_loop import on_event_loop
from exchange.infra.gatherer import Gatherer
from exchange.infra.metrics import WEB_ORDER_LOOKUPS
from orders.reads.orders import order_of_account
from orders.validation.amends import AMENDED_COLUMNS

AMENDED: Final = f"""
SELECT placed.* FROM unnest(%s::bigint[]) AS want(order_id)
CROSS JOIN LATERAL (
    SELECT id, account_id, symbol_id, {AMENDED_COLUMNS}
    FROM orders_order AS one WHERE one.id = want.order_id OFFSET 0) AS placed
"""  # noqa: S608 - column names of ours

Row = dict[str, Any]


class OrderKey(NamedTuple):
    """An order as its owner names it."""

    order_id: int
    account_id: int


class OrderLookUps:
    """Answers such questions for one thread, over a connection that it keeps."""

    def __init__(self) -> None:
        self._connection: psycopg.Connection | None = None

    def __call__(self, keys: Sequence[OrderKey]) -> list[Row | DomainError]:
        """Return each key's order, or order.not_found, also for another account's order.

        Raises psycopg.OperationalError while Postgres is away.
        """
        rows = {row["id"]: row for row in self._rows({key.order_id for key in keys})}
        found: list[Row | DomainError] = []
        for order_id, account_id in keys:
            row = rows.get(order_id)
            is_own = row is not None and row["account_id"] == account_id
            found.append(row if row is not None and is_own else _not_found())
        return found

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, order_ids: set[int]) -> list[Row]:
        try:
            return self._asked(order_ids)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if self._connection is None or not self._connection.broken:
                raise
            self._connection = None  # Postgres was restarted since the last question
            return self._asked(order_ids)

    def _asked(self, order_ids: set[int]) -> list[Row]:
        if self._connection is None:
            self._connection = connect("order-look-ups", keep_plans=True)
        cursor = rows_as_dicts(self._connection)
        return cursor.execute(AMENDED, (array_text(order_ids),), prepare=True).fetchall()


def _not_found() -> DomainError:
    return DomainError(Code.ORDER_NOT_FOUND)


order_look_ups: Final = OrderLookUps()
_asked: Final = Gatherer(order_look_ups, name="order-look-ups", waiting=WEB_ORDER_LOOKUPS)


async def order_look_up(*, order_id: int, account_id: int) -> Row:
    """Return the account's order, on a loop with those columns alone. Raises order.not_found.

    On a loop the orders that are asked for at one moment cost one statement.
    """
    if not on_event_loop():
        return order_of_account(order_id=order_id, account_id=account_id)
    return await _asked.ask(OrderKey(order_id, account_id))
