"""The statements that write a batch's changes, and their parameters.

A term that did not change is left out of an order's parameters; it reads as NULL: "unchanged".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from psycopg import sql

from exchange.infra.partition_ranges import ORDERS as ORDERS_PARTITIONED
from exchange.infra.partition_ranges import grouped
from exchange.realtime.frames import SymbolText
from matching.engine.book import Book
from orders.commands.columns import AMENDABLE_RECORD, AMENDABLE_VALUES, amended_row
from orders.commands.words import SELF_TRADE_TEXTS, SIDE_TEXTS
from orders.lifecycle import NEXT
from orders.recording.changes import BatchChanges, OrderChange

TABLES_KEPT: Final = 16  # months whose statement is kept as text

Texts = Callable[[int], SymbolText]

# O4 again, checked by Postgres: the row's own status decides which moves are allowed.
_MOVES: Final = [f"{current}>{target}" for current, after in NEXT.items() for target in after]
# An order is sequenced exactly once, and an ended order never changes again. A market order has no
# price: its new price goes to bound_price, the price that triggered it to reference_price.
# Its plan is kept, and only one fits it: `= ANY(ARRAY[new.id])` (docs/adr/0024).
_ORDERS: Final = """
UPDATE {table} AS kept
SET engine_seq = COALESCE(kept.engine_seq, new.engine_seq),
    priority_seq = COALESCE(new.priority_seq, kept.priority_seq),
    status = COALESCE(new.status, kept.status), reason = new.reason,
    price = CASE WHEN kept.price IS NOT NULL THEN COALESCE(new.price, kept.price) END,
    bound_price = CASE WHEN kept.price IS NULL THEN COALESCE(new.price, kept.bound_price)
        ELSE kept.bound_price END,
    reference_price = CASE WHEN kept.price IS NULL
        THEN COALESCE(new.reference_price, kept.reference_price)
        ELSE kept.reference_price END,
    quantity = COALESCE(new.quantity, kept.quantity),
    {amended},
    trail_stop_price = COALESCE(new.trail_stop_price, kept.trail_stop_price),
    trail_bound_price = COALESCE(new.trail_bound_price, kept.trail_bound_price),
    quote_amount = kept.quote_amount - COALESCE(new.quote_taken, 0),
    filled = kept.filled + new.filled, filled_quote = kept.filled_quote + new.filled_quote,
    updated_at = %(time)s, finished_at = CASE WHEN new.is_final THEN %(time)s::timestamptz END
FROM json_to_recordset(%(rows)s::json) AS new(
    id bigint, engine_seq bigint, priority_seq bigint, status text, reason text, price numeric,
    quantity numeric, filled numeric, filled_quote numeric, is_final boolean, {amended_record},
    reference_price numeric, trail_stop_price numeric, trail_bound_price numeric,
    quote_taken numeric)
WHERE kept.id = ANY(ARRAY[new.id])
  AND kept.status || '>' || COALESCE(new.status, kept.status) = ANY(%(moves)s)
  AND (kept.engine_seq IS NULL) = (new.engine_seq IS NOT NULL)
RETURNING kept.*
"""
# Its plan is kept, and only one fits it. `kept.engine_seq IS NULL` alone would let another one fit:
# to read all unsequenced commands for each answer.
COMMANDS: Final = """
UPDATE orders_command AS kept SET engine_seq = new.engine_seq, refusal = new.refusal
FROM json_to_recordset(%s::json) AS new(id bigint, engine_seq bigint, refusal text)
WHERE kept.id = ANY(ARRAY[new.id])
  AND (kept.engine_seq IS NULL) = (new.engine_seq IS NOT NULL)
RETURNING kept.id, kept.kind, kept.symbol_id, kept.account_id, kept.order_id, kept.engine_seq,
    kept.refusal
"""
TRADES: Final = """
INSERT INTO orders_trade
    (id, symbol_id, engine_seq, price, quantity, quote_amount, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, created_at)
SELECT id, symbol_id, engine_seq, price, quantity, quote_amount, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, %s
FROM json_to_recordset(%s::json) AS new(
    id bigint, symbol_id bigint, engine_seq bigint, price numeric, quantity numeric,
    quote_amount numeric, maker_order_id bigint, taker_order_id bigint, maker_account_id bigint,
    taker_account_id bigint, taker_side text)
"""
PREVENTED: Final = """
INSERT INTO orders_preventedmatch
    (id, symbol_id, engine_seq, price, quantity, mode, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, created_at)
SELECT id, symbol_id, engine_seq, price, quantity, mode, maker_order_id, taker_order_id,
     maker_account_id, taker_account_id, taker_side, %s
FROM json_to_recordset(%s::json) AS new(
    id bigint, symbol_id bigint, engine_seq bigint, price numeric, quantity numeric, mode text,
    maker_order_id bigint, taker_order_id bigint, maker_account_id bigint,
    taker_account_id bigint, taker_side text)
"""

_json: Final = msgspec.json.Encoder()


def json_text(value: object) -> str:
    """Encode a statement's parameter as JSON text."""
    return _json.encode(value).decode()


def book_places_take(changes: BatchChanges, books: Mapping[int, Book]) -> None:
    """Copy price and priority from the book for orders that entered it without an event of these.

    A triggered post-only order may have moved to another price. Its priority is that of the command
    that triggered it, which may be earlier than the event's row.
    """
    for change in changes.orders.values():
        if not change.came_in or change.has_ended():
            continue
        order = books[change.symbol_id].orders[change.order_id]
        change.priority_seq = order.priority
        change.price_ticks = order.price_ticks
        changes.touch(change.symbol_id, order.side, order.price_ticks)


def order_statements(
    changes: BatchChanges, texts: Texts, time: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the statements that write the changed orders, and their parameters.

    One statement for each table partition, nearly always one in all. On the whole table, Postgres
    plans for every month. With bounds on the ids, it plans for few months but scans all rows
    between the bounds, once for each order: 2,000 orders took 190 ms instead of 30.
    """
    for table, order_ids in grouped(ORDERS_PARTITIONED, changes.orders).items():
        changed = [changes.orders[order_id] for order_id in order_ids]
        rows = json_text([order_row(one, texts(one.symbol_id)) for one in changed])
        yield orders_statement(table), {"rows": rows, "time": time, "moves": _MOVES}


@lru_cache(TABLES_KEPT)
def orders_statement(table: str) -> str:
    """Return the statement that writes changed orders into a table of one month."""
    return (
        sql.SQL(_ORDERS)
        .format(
            table=sql.Identifier(table),
            amended=sql.SQL(AMENDABLE_VALUES),
            amended_record=sql.SQL(AMENDABLE_RECORD),
        )
        .as_string()
    )


def order_row(change: OrderChange, text: SymbolText) -> dict[str, Any]:
    """Return the parameters of one order's change, with numbers as text."""
    row: dict[str, Any] = {
        "id": change.order_id,
        "engine_seq": change.engine_seq or None,
        "priority_seq": change.priority_seq or None,
        "status": change.status,
        "reason": change.reason,
        "filled": text.quantity(change.filled_lots),
        "filled_quote": text.quote(change.filled_ticklots),
        "is_final": change.has_ended(),
    }
    if change.price_ticks:
        row["price"] = text.price(change.price_ticks)
    if change.quantity_lots:
        row["quantity"] = text.quantity(change.quantity_lots)
    if change.terms is not None:
        row |= amended_row(change.terms, text.units)
    if change.reference_ticks:
        row["reference_price"] = text.price(change.reference_ticks)
    if change.trail_stop_ticks:
        row["trail_stop_price"] = text.price(change.trail_stop_ticks)
        row["trail_bound_price"] = text.price(change.trail_bound_ticks)
    if change.taken_ticklots:
        row["quote_taken"] = text.quote(change.taken_ticklots)
    return row


def answer_rows(changes: BatchChanges) -> list[dict[str, Any]]:
    """Return the answer of each command that has a row in orders_command."""
    return [
        {"id": command_id, "engine_seq": sequence, "refusal": refusal}
        for command_id, (sequence, refusal) in changes.commands.items()
    ]


def trade_rows(
    changes: BatchChanges, trade_ids: Sequence[int], texts: Texts
) -> list[dict[str, Any]]:
    """Return the rows of the batch's trades. `trade_ids` has one id for each, in order."""
    rows = []
    for trade_id, (symbol_id, sequence, trade) in zip(trade_ids, changes.trades, strict=True):
        text = texts(symbol_id)
        rows.append(
            {
                "id": trade_id,
                "symbol_id": symbol_id,
                "engine_seq": sequence,
                "price": text.price(trade.price_ticks),
                "quantity": text.quantity(trade.quantity_lots),
                "quote_amount": text.quote(trade.price_ticks * trade.quantity_lots),
                "maker_order_id": trade.maker_order_id,
                "taker_order_id": trade.taker_order_id,
                "maker_account_id": trade.maker_account_id,
                "taker_account_id": trade.taker_account_id,
                "taker_side": SIDE_TEXTS[trade.taker_side],
            }
        )
    return rows


def prevented_rows(
    changes: BatchChanges, match_ids: Sequence[int], texts: Texts
) -> list[dict[str, Any]]:
    """Return the rows of matches that self-trade prevention stopped, one id for each, in order."""
    rows = []
    for match_id, (symbol_id, sequence, match) in zip(match_ids, changes.prevented, strict=True):
        text = texts(symbol_id)
        rows.append(
            {
                "id": match_id,
                "symbol_id": symbol_id,
                "engine_seq": sequence,
                "price": text.price(match.price_ticks),
                "quantity": text.quantity(match.quantity_lots),
                "mode": SELF_TRADE_TEXTS[match.mode],
                "maker_order_id": match.maker_order_id,
                "taker_order_id": match.taker_order_id,
                "maker_account_id": match.maker_account_id,
                "taker_account_id": match.taker_account_id,
                "taker_side": SIDE_TEXTS[match.taker_side],
            }
        )
    return rows


def time_of(time_ms: int) -> datetime:
    """Return a Unix time in milliseconds as an aware datetime in UTC."""
    seconds, rest_ms = divmod(time_ms, 1_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ms * 1_000)
