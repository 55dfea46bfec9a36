"""Reads of prevented matches: trades that self-trade prevention did not let happen."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import connection

from exchange.domain.ids import ID_MAX
from exchange.domain.units import plain
from orders.reads.orders import LIMIT_MAX
from orders.reads.texts import time_text

# Each side is read by its own index, newest first. A match of two orders of one account is in both.
_MATCHES: Final = """
SELECT match.*, symbol.code AS symbol
FROM (
    (SELECT * FROM orders_preventedmatch
     WHERE taker_account_id = %(account_id)s AND id < %(before_id)s
       AND (%(symbol_id)s::bigint IS NULL OR symbol_id = %(symbol_id)s)
       AND (%(order_id)s::bigint IS NULL OR taker_order_id = %(order_id)s)
     ORDER BY id DESC LIMIT %(limit)s)
    UNION
    (SELECT * FROM orders_preventedmatch
     WHERE maker_account_id = %(account_id)s AND id < %(before_id)s
       AND (%(symbol_id)s::bigint IS NULL OR symbol_id = %(symbol_id)s)
       AND (%(order_id)s::bigint IS NULL OR maker_order_id = %(order_id)s)
     ORDER BY id DESC LIMIT %(limit)s)
) AS match JOIN exchange_symbol AS symbol ON symbol.id = match.symbol_id
ORDER BY match.id DESC LIMIT %(limit)s
"""


def prevented_matches_of(
    account_id: int,
    *,
    limit: int,
    symbol_id: int | None = None,
    order_id: int | None = None,
    before_id: int | None = None,
) -> list[dict[str, Any]]:
    """Return the account's prevented matches as JSON values, newest first, at most `limit`.

    The other side's order is shown only where it belongs to the same account.
    """
    assert 0 < limit <= LIMIT_MAX + 1
    params = {
        "account_id": account_id,
        "symbol_id": symbol_id,
        "order_id": order_id,
        "before_id": before_id if before_id is not None else ID_MAX,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MATCHES, params)
        names: Sequence[str] = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [_match_json(row, account_id) for row in rows]


def _match_json(row: Mapping[str, Any], account_id: int) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "symbol": row["symbol"],
        "price": plain(row["price"]),
        "quantity": plain(row["quantity"]),
        "mode": row["mode"],
        "taker_side": row["taker_side"],
        "maker_order_id": _own(row, "maker", account_id),
        "taker_order_id": _own(row, "taker", account_id),
        "time": time_text(row["created_at"]),
    }


def _own(row: Mapping[str, Any], side: str, account_id: int) -> str | None:
    """Return this side's order id, or None where another account of the group placed it."""
    return str(row[f"{side}_order_id"]) if row[f"{side}_account_id"] == account_id else None
