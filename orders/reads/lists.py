"""Reads of lists of orders. Every statement names the account that the list belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.enums import ListKind
from exchange.domain.errors import DomainError
from exchange.domain.ids import ID_MAX
from orders.reads.orders import LIMIT_MAX, order_json


@dataclass(frozen=True, slots=True)
class ListOfOrders:
    """A list with the rows of its orders, a parent first."""

    id: int
    kind: ListKind
    symbol: str
    orders: Sequence[Mapping[str, Any]]


# The ids of a list's orders are above the list's id: older partitions need not be read.
_LISTS: Final = """
SELECT list.id AS of_list, list.kind, placed.*, symbol.code AS symbol
FROM (
    SELECT id, kind, symbol_id FROM orders_orderlist
    WHERE account_id = %s AND id {condition}
    ORDER BY id DESC LIMIT %s) AS list
JOIN exchange_symbol AS symbol ON symbol.id = list.symbol_id
JOIN orders_order AS placed ON placed.list_id = list.id AND placed.id > list.id
ORDER BY list.id DESC, placed.id
"""


def list_json(one: ListOfOrders) -> dict[str, Any]:
    """Return a list as the API shows it."""
    return {
        "id": str(one.id),
        "type": one.kind,
        "symbol": one.symbol,
        "orders": [order_json(row, one.symbol) for row in one.orders],
    }


def list_of_account(*, list_id: int, account_id: int) -> ListOfOrders:
    """Return the account's list. Raises order.list_not_found, also for another account's."""
    found = _lists("= %s", account_id, list_id, 1)
    if not found:
        raise DomainError(Code.ORDER_LIST_NOT_FOUND)
    return found[0]


def lists_of_account(account_id: int, *, before_id: int | None, limit: int) -> list[ListOfOrders]:
    """Return the account's lists, newest first, at most `limit`."""
    assert 0 < limit <= LIMIT_MAX + 1
    return _lists("< %s", account_id, ID_MAX if before_id is None else before_id, limit)


def _lists(condition: str, account_id: int, list_id: int, limit: int) -> list[ListOfOrders]:
    found: dict[int, ListOfOrders] = {}
    orders: dict[int, list[Mapping[str, Any]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LISTS.format(condition=condition), (account_id, list_id, limit))
        names = [column.name for column in cursor.description]
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            of_list = row["of_list"]
            rows = orders.setdefault(of_list, [])
            rows.append(row)
            kind = ListKind(row["kind"])
            found.setdefault(of_list, ListOfOrders(of_list, kind, row["symbol"], rows))
    return list(found.values())
