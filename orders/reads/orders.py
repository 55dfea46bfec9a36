"""Reads of orders and trades. Every read of an account's orders names the account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from django.db import connection

from exchange.domain.codes import Code
from exchange.domain.enums import FINAL_STATUSES, LIVE_STATUSES, OrderStatus
from exchange.domain.errors import DomainError
from exchange.domain.ids import ID_MAX, TIME_SHIFT, id_floor
from exchange.domain.units import plain
from orders.reads.texts import (
    ENDED_EARLY,
    NO_TERMS,
    RARE,
    average_text,
    decimal_text,
    left_text,
    terms_json,
    time_text,
)
from wallets.fragments import SYMBOLS_OF_LIVE_ORDERS, live_orders_of

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
# Orders and trades get their ids by the clocks of two processes, which may differ by this much.
CLOCK_SLACK: Final = 10_000 << TIME_SHIFT

# The statuses that a filter word stands for. `open` means what a trader means: not ended.
STATUS_WORDS: Final[Mapping[str, frozenset[OrderStatus]]] = {
    **{status.value: frozenset({status}) for status in OrderStatus},
    "open": LIVE_STATUSES,
    "live": LIVE_STATUSES,
    "final": FINAL_STATUSES,
}


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Conditions on an account's orders, which come newest first, below `before_id`."""

    symbol_id: int | None = None
    statuses: frozenset[OrderStatus] | None = None
    client_order_id: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    before_id: int | None = None
    limit: int = LIMIT_DEFAULT


_amounts: Final = itemgetter("price", "quantity", "quote_amount", "filled", "filled_quote")


def order_json(row: Mapping[str, Any], symbol: str | None = None) -> dict[str, Any]:
    """Return an order as the API and the feed show it, from the columns of orders_order.

    The symbol's code comes as `symbol`, or in the row under that name. Columns that only some
    orders fill (orders.reads.texts.RARE) may be missing from the row.
    """
    amounts = _amounts(row)
    if Decimal in map(type, amounts):  # as the database has them; intake has texts
        amounts = map(decimal_text, amounts)
    price, quantity, quote_amount, filled, filled_quote = amounts
    status, reason = row["status"], row["reason"]
    terms = terms_json(row) if any(map(row.get, RARE)) else NO_TERMS
    return {
        "id": str(row["id"]),
        "client_order_id": row["client_order_id"],
        "symbol": symbol or row["symbol"],
        "side": row["side"],
        "type": row["type"],
        "time_in_force": row["time_in_force"],
        "post_only": row["post_only"],
        "price": price,
        "quantity": quantity,
        "quote_amount": quote_amount,
        "filled": filled,
        "filled_quote": filled_quote,
        "average_price": average_text(filled, filled_quote),
        "left": left_text(quantity, filled) if status in LIVE_STATUSES else "0",
        "status": status,
        "reason": reason,
        "created_at": time_text(row["created_at"]),
        "updated_at": time_text(row["updated_at"]),
        **terms,
        "self_trade_prevention": row["self_trade"],
        "expiry_reason": reason if status in ENDED_EARLY else None,
    }


_ORDERS: Final = """
SELECT placed.*, symbol.code AS symbol
FROM orders_order AS placed JOIN exchange_symbol AS symbol ON symbol.id = placed.symbol_id
WHERE """


def order_of_account(*, order_id: int, account_id: int) -> dict[str, Any]:
    """Return the account's order. Raises order.not_found, also for another account's."""
    rows = _select(f"{_ORDERS} placed.id = %s AND placed.account_id = %s", (order_id, account_id))
    if not rows:
        raise DomainError(Code.ORDER_NOT_FOUND)
    return rows[0]


def orders_of_account(account_id: int, wanted: OrderFilter) -> list[dict[str, Any]]:
    """Return the account's orders, newest first, at most `limit`.

    Dates bound the id, so that only the partitions of those months are read.
    """
    assert 0 < wanted.limit <= LIMIT_MAX + 1
    if wanted.client_order_id is not None:
        rows = client_orders_find(account_id, [wanted.client_order_id])
        return [row for row in rows.values() if _matches(row, wanted)]
    conditions = ["placed.account_id = %s"]
    params: list[Any] = [account_id]
    if wanted.symbol_id is not None:
        conditions.append("placed.symbol_id = %s")
        params.append(wanted.symbol_id)
    if wanted.statuses is not None:
        conditions.append("placed.status = ANY(%s::text[])")
        params.append([status.value for status in wanted.statuses])
    if wanted.from_ms is not None:
        conditions.append("placed.id >= %s")
        params.append(_floor(wanted.from_ms))
    upper = [_floor(wanted.to_ms)] if wanted.to_ms is not None else []
    upper += [wanted.before_id] if wanted.before_id is not None else []
    if upper:
        conditions.append("placed.id < %s")
        params.append(min(upper))
    if wanted.statuses is not None and wanted.statuses <= LIVE_STATUSES:
        # Through the reservations of live orders: an account may have millions of ended orders.
        conditions.append(f"placed.id = ANY(ARRAY({live_orders_of()})::bigint[])")
        params.append(account_id)
    statement = f"{_ORDERS} {' AND '.join(conditions)} ORDER BY placed.id DESC LIMIT %s"
    return _select(statement, (*params, wanted.limit))


def _floor(time_ms: int) -> int:
    """Return the lowest id of a time, clamped to the range of ids so that an index serves it."""
    return min(id_floor(time_ms), ID_MAX)


# Each wanted id is looked up by its key, whatever the planner knows (docs/adr/0024).
_BY_CLIENT_ORDER_ID: Final = """
SELECT placed.*, symbol.code AS symbol, claim.fingerprint
FROM unnest(%s::text[]) AS wanted (client_order_id)
CROSS JOIN LATERAL (
    SELECT order_id, fingerprint FROM orders_clientorderid AS one
    WHERE one.account_id = %s AND one.client_order_id = wanted.client_order_id
    OFFSET 0) AS claim
CROSS JOIN LATERAL (
    SELECT one.* FROM orders_order AS one WHERE one.id = claim.order_id OFFSET 0) AS placed
JOIN exchange_symbol AS symbol ON symbol.id = placed.symbol_id
"""


def client_orders_find(
    account_id: int, client_order_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the orders that have these client order ids now, with their fingerprints, by id."""
    rows = _select(_BY_CLIENT_ORDER_ID, (list(client_order_ids), account_id))
    return {row["client_order_id"]: row for row in rows}


def _matches(row: Mapping[str, Any], wanted: OrderFilter) -> bool:
    order_id = row["id"]
    return (
        (wanted.symbol_id is None or row["symbol_id"] == wanted.symbol_id)
        and (wanted.statuses is None or row["status"] in wanted.statuses)
        and (wanted.from_ms is None or order_id >= id_floor(wanted.from_ms))
        and (wanted.to_ms is None or order_id < id_floor(wanted.to_ms))
        and (wanted.before_id is None or order_id < wanted.before_id)
    )


def client_order_find(*, account_id: int, client_order_id: str) -> dict[str, Any] | None:
    """Return the order under this client order id with its fingerprint, or None."""
    return client_orders_find(account_id, [client_order_id]).get(client_order_id)


def order_id_find(*, account_id: int, client_order_id: str) -> int:
    """Return the id of the account's order under a client order id. Raises order.not_found."""
    known = client_order_find(account_id=account_id, client_order_id=client_order_id)
    if known is None:
        raise DomainError(Code.ORDER_NOT_FOUND)
    return int(known["id"])


def symbols_with_open_orders(account_id: int) -> list[int]:
    """Return the ids of the symbols in which the account has orders to cancel."""
    rows = _select(f"{SYMBOLS_OF_LIVE_ORDERS} ORDER BY 1", (account_id,))
    return [row["symbol_id"] for row in rows]


def trades_of_symbol(
    symbol_id: int, *, limit: int, before_id: int | None = None
) -> list[dict[str, Any]]:
    """Return the symbol's public trades, newest first."""
    assert 0 < limit <= LIMIT_MAX + 1
    rows = _select(
        """
        SELECT id, price, quantity, taker_side, created_at FROM orders_trade
        WHERE symbol_id = %s AND id < %s ORDER BY id DESC LIMIT %s
        """,
        (symbol_id, before_id if before_id is not None else (1 << 63) - 1, limit),
    )
    return [
        {
            "id": str(row["id"]),
            "price": plain(row["price"]),
            "quantity": plain(row["quantity"]),
            "taker_side": row["taker_side"],
            "time": time_text(row["created_at"]),
        }
        for row in rows
    ]


def _select(statement: str, params: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows as dicts over Django's connection, without models: these reads are hot."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
