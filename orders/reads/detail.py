"""The read of one order with its fills and its last amend, in one statement.

Two statements would see two moments: an order that shows nothing filled, beside its first fill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from exchange.api.pagination import cursor_make
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.domain.units import EXACT, SymbolUnits, atoms_to_decimal, plain
from orders.reads.orders import CLOCK_SLACK
from orders.reads.texts import time_text
from wallets.fees import fee_of_fill

FILLS_DEFAULT: Final = 100
FILLS_MAX: Final = 1_000

# A fill's number is its place among the order's fills. New fills only come at the end, so a number
# is as stable as an id. What an order accrued before a fill decides how that fill's fee is rounded.
_DETAIL: Final = """
SELECT placed.*, symbol.code AS symbol,
    amend.id AS amend_id, amend.kind AS amend_kind, amend.order_id AS amend_order_id,
    amend.engine_seq AS amend_engine_seq, amend.refusal AS amend_refusal,
    fill.number, fill.total, fill.trade_id, fill.at_price, fill.of_quantity, fill.for_quote,
    fill.is_maker, fill.fee_ppm, fill.accrued, fill.traded_at
FROM orders_order AS placed
JOIN exchange_symbol AS symbol ON symbol.id = placed.symbol_id
LEFT JOIN LATERAL (
    SELECT id, kind, order_id, engine_seq, refusal FROM orders_command
    WHERE order_id = placed.id AND kind = 'amend' ORDER BY id DESC LIMIT 1) AS amend ON true
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT row_number() OVER in_order AS number, count(*) OVER () AS total, id AS trade_id,
            price AS at_price, quantity AS of_quantity, quote_amount AS for_quote, is_maker,
            fee_ppm, created_at AS traded_at,
            sum(quote_amount * fee_ppm) OVER in_order - quote_amount * fee_ppm AS accrued
        FROM (
            SELECT trade.*, trade.maker_order_id = placed.id AS is_maker,
                CASE WHEN trade.maker_order_id = placed.id
                    THEN placed.maker_fee_ppm ELSE placed.taker_fee_ppm END AS fee_ppm
            FROM orders_trade AS trade
            WHERE (trade.maker_order_id = %(order_id)s OR trade.taker_order_id = %(order_id)s)
              AND trade.id >= %(trades_from)s) AS own
        WINDOW in_order AS (ORDER BY engine_seq, id)) AS numbered
    WHERE number > %(after)s ORDER BY number LIMIT %(limit)s) AS fill ON true
WHERE placed.id = %(order_id)s AND placed.account_id = %(account_id)s
ORDER BY fill.number
"""


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """An order's row, some of its fills, and how many there are."""

    order: Mapping[str, Any]
    fills: Sequence[Mapping[str, Any]]
    fills_total: int
    last_amend: Mapping[str, Any] | None  # columns of orders_command

    @property
    def last_number(self) -> int | None:
        """Return the number of the last of these fills; None where no fill comes after it."""
        if not self.fills or self.fills[-1]["number"] == self.fills_total:
            return None
        return int(self.fills[-1]["number"])


def order_detail(
    *, order_id: int, account_id: int, after: int = 0, limit: int = FILLS_DEFAULT
) -> OrderDetail:
    """Return the account's order with its fills after number `after`. Raises order.not_found."""
    assert 0 < limit <= FILLS_MAX
    params = {
        "order_id": order_id,
        "account_id": account_id,
        "trades_from": max(0, order_id - CLOCK_SLACK),
        "after": after,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DETAIL, params)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if not rows:
        raise DomainError(Code.ORDER_NOT_FOUND)
    first = rows[0]
    fills = [row for row in rows if row["number"] is not None]
    return OrderDetail(first, fills, first["total"] or after, _amend_of(first))


def _amend_of(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["amend_id"] is None:
        return None
    names = ("id", "kind", "order_id", "engine_seq", "refusal")
    return {name: row[f"amend_{name}"] for name in names}


def fills_scope(order_id: int) -> str:
    """Return the scope that a cursor among an order's fills is signed for."""
    return f"fills:{order_id}"


def next_fills(detail: OrderDetail) -> str | None:
    """Return the cursor of the fills after these, or None."""
    number = detail.last_number
    return None if number is None else cursor_make(number, scope=fills_scope(detail.order["id"]))


def fill_json(row: Mapping[str, Any], units: SymbolUnits) -> dict[str, Any]:
    """Return a fill as the API shows it, with the fee it paid (wallets/fees.py)."""
    fee_atoms, _ = fee_of_fill(
        _atoms(row["accrued"], units), _atoms(row["for_quote"], units), row["fee_ppm"]
    )
    return {
        "trade_id": str(row["trade_id"]),
        "price": plain(row["at_price"]),
        "quantity": plain(row["of_quantity"]),
        "quote_amount": plain(row["for_quote"]),
        "role": "maker" if row["is_maker"] else "taker",
        "fee": plain(atoms_to_decimal(fee_atoms, units.quote_scale)),
        "fee_asset": units.code.rpartition("-")[2],
        "time": time_text(row["traded_at"]),
    }


def _atoms(quote: Any, units: SymbolUnits) -> int:
    return int(EXACT.scaleb(quote, units.quote_scale))
