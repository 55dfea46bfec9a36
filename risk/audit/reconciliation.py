"""Checks across orders, journal and ledger: O1, O2, S1. Reads only.

Written against the tables, not with the code that fills them, because the worker's loader and
settlement's statements are checked as well. B3 is in risk/audit/books.py, the reservation of each
order (L5) in risk/audit/reservations.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from exchange.domain.ids import TIME_SHIFT
from matching.worker.ports import SILENCE_MAX_S
from risk.audit.inputs import Position
from wallets.reconciliation import BREACHES_MAX, Breach

GATE_MARK: Final = "client_order_ids"
GATE_SLACK: Final = 10_000  # ids commit out of order, by no more than this
# Bounds of one incremental run; the next run reads the rows beyond them.
JOURNAL_ROWS_MAX: Final = 5_000
TRADES_MAX: Final = 50_000
ORDERS_MAX: Final = 20_000
# Clocks of two processes differ by less, so an id range starts this much earlier.
CLOCK_SLACK: Final = 10_000 << TIME_SHIFT  # 10 s of ids


# --- S1


@dataclass(frozen=True, slots=True)
class Window:
    """The settled journal rows of one partition that this run verifies, and their trades."""

    partition_id: int
    after_seq: int
    upto_seq: int
    trade_ids: Sequence[int]


def window_of(
    connection: psycopg.Connection, position: Position, after_seq: int, *, full: bool
) -> tuple[Window, list[Breach]]:
    """Read the next settled rows and check that they follow each other without a gap (S1)."""
    limit = None if full else JOURNAL_ROWS_MAX
    rows = connection.execute(
        "SELECT first_seq, last_seq, trade_ids FROM orders_enginejournal"
        " WHERE partition_id = %s AND last_seq > %s AND last_seq <= %s ORDER BY last_seq LIMIT %s",
        (position.partition_id, after_seq, position.settled_seq, limit),
    ).fetchall()
    breaches = []
    # Rows past their retention are gone: a full run begins at the oldest row that is left.
    reached = rows[0][0] - 1 if rows and full else after_seq
    trade_ids: list[int] = []
    for first_seq, last_seq, row_trade_ids in rows:
        if first_seq != reached + 1:
            breaches.append(_s1(position, f"journal goes from {reached} to {first_seq}"))
        reached = last_seq
        trade_ids += row_trade_ids
        if not full and len(trade_ids) > TRADES_MAX:
            break
    if len(set(trade_ids)) != len(trade_ids):
        breaches.append(_s1(position, "a trade stands in two journal rows"))
    return Window(position.partition_id, after_seq, reached, trade_ids), breaches


def _s1(position: Position, detail: str) -> Breach:
    return Breach("S1", f"partition {position.partition_id}: {detail}")


def cursor_fits(connection: psycopg.Connection, position: Position) -> list[Breach]:
    """Check S1: the cursor is the end of a journal row, and the journal ends at the checkpoint."""
    row = connection.execute(
        "SELECT max(last_seq), count(*) FILTER (WHERE last_seq = %(settled)s)"
        " FROM orders_enginejournal WHERE partition_id = %(id)s AND last_seq >= %(settled)s",
        {"id": position.partition_id, "settled": position.settled_seq},
    ).fetchone()
    assert row is not None
    end_seq, at_cursor = row
    breaches = []
    if position.settled_seq > position.last_seq:
        breaches.append(_s1(position, "settled beyond what the engine committed"))
    if position.settled_seq and at_cursor != 1:
        breaches.append(_s1(position, f"no journal row ends at the cursor {position.settled_seq}"))
    if (end_seq or 0) != position.last_seq:
        breaches.append(
            _s1(position, f"journal ends at {end_seq}, checkpoint at {position.last_seq}")
        )
    return breaches


_TRADES_MISSING: Final = """
SELECT wanted.id FROM unnest(%s::bigint[]) AS wanted (id)
LEFT JOIN orders_trade trade ON trade.id = wanted.id
WHERE trade.id IS NULL OR trade.engine_seq NOT BETWEEN %s AND %s LIMIT %s
"""
_TRADES_SURPLUS: Final = """
SELECT trade.id, trade.symbol_id FROM orders_trade trade
JOIN exchange_symbol symbol ON symbol.id = trade.symbol_id AND symbol.partition_id = %s
WHERE trade.id >= %s AND trade.engine_seq > %s AND trade.engine_seq <= %s
    AND NOT EXISTS (SELECT 1 FROM unnest(%s::bigint[]) AS known (id) WHERE known.id = trade.id)
LIMIT %s
"""
_ENTRIES_WRONG: Final = """
WITH settled AS MATERIALIZED (
    SELECT trade.id, trade.symbol_id, trade.quantity, trade.quote_amount,
        symbol.base_id, symbol.quote_id,
        CASE trade.taker_side WHEN 'buy' THEN taker_account_id ELSE maker_account_id END AS buyer,
        CASE trade.taker_side WHEN 'buy' THEN maker_account_id ELSE taker_account_id END AS seller
    FROM unnest(%(ids)s::bigint[]) AS wanted (id)
    JOIN orders_trade trade ON trade.id = wanted.id
    JOIN exchange_symbol symbol ON symbol.id = trade.symbol_id
), line AS MATERIALIZED (
    SELECT journal_id, account_id, asset_id, amount, kind FROM wallets_entry
    WHERE id >= %(low)s AND kind IN ('trade', 'fee')
)
SELECT settled.id, settled.symbol_id
FROM settled LEFT JOIN line ON line.journal_id = settled.id
GROUP BY settled.id, settled.symbol_id, settled.quantity, settled.quote_amount, settled.base_id,
    settled.quote_id, settled.buyer, settled.seller
HAVING NOT coalesce(
    count(*) FILTER (WHERE kind = 'trade') = 4
    AND count(*) FILTER (WHERE kind = 'fee') <= 3
    AND sum(amount) FILTER (WHERE kind = 'trade' AND amount > 0
        AND account_id = buyer AND asset_id = base_id) = quantity
    AND sum(amount) FILTER (WHERE kind = 'trade' AND amount < 0
        AND account_id = seller AND asset_id = base_id) = -quantity
    AND sum(amount) FILTER (WHERE kind = 'trade' AND amount < 0
        AND account_id = buyer AND asset_id = quote_id) = -quote_amount
    AND sum(amount) FILTER (WHERE kind = 'trade' AND amount > 0
        AND account_id = seller AND asset_id = quote_id) = quote_amount
    AND coalesce(sum(amount) FILTER (WHERE kind = 'fee'), 0) = 0, false)
LIMIT %(limit)s
"""


def trades_are_settled_once(connection: psycopg.Connection, window: Window) -> list[Breach]:
    """Check S1: journal rows and trades name each other, each trade has exactly its entries."""
    if window.upto_seq == window.after_seq:
        return []
    ids = list(window.trade_ids)
    low = max(0, min(ids) - CLOCK_SLACK) if ids else 0
    where = f"partition {window.partition_id}"
    missing = connection.execute(
        _TRADES_MISSING, (ids, window.after_seq + 1, window.upto_seq, BREACHES_MAX)
    ).fetchall()
    breaches = [Breach("S1", f"{where}: trade {row[0]} of the journal is gone") for row in missing]
    if not ids:
        return breaches
    surplus = connection.execute(
        _TRADES_SURPLUS,
        (window.partition_id, low, window.after_seq, window.upto_seq, ids, BREACHES_MAX),
    ).fetchall()
    breaches += [
        Breach("S1", f"{where}: trade {trade_id} is in no journal row", symbol_id=symbol_id)
        for trade_id, symbol_id in surplus
    ]
    wrong = connection.execute(
        _ENTRIES_WRONG, {"ids": ids, "low": low, "limit": BREACHES_MAX}
    ).fetchall()
    return breaches + [
        Breach("S1", f"trade {trade_id} has not exactly its entries", symbol_id=symbol_id)
        for trade_id, symbol_id in wrong
    ]


def entries_have_trades(connection: psycopg.Connection, after_id: int) -> list[Breach]:
    """Check S1: no entry after an id belongs to a trade that does not exist."""
    rows = connection.execute(
        "SELECT line.journal_id, line.asset_id FROM ("
        "  SELECT journal_id, min(asset_id) AS asset_id FROM wallets_entry"
        "  WHERE id > %s AND kind IN ('trade', 'fee') GROUP BY journal_id) AS line"
        " WHERE NOT EXISTS (SELECT 1 FROM orders_trade trade WHERE trade.id = line.journal_id)"
        " LIMIT %s",
        (after_id, BREACHES_MAX),
    ).fetchall()
    return [
        Breach("S1", f"entries of trade {trade_id}, which does not exist", asset_id)
        for trade_id, asset_id in rows
    ]


# --- O1, O2


def acknowledged_orders_exist(connection: psycopg.Connection, after_id: int) -> list[Breach]:
    """Check O1: each client order id has its order, each unsequenced order its reservation."""
    lost = connection.execute(
        "SELECT claim.order_id FROM orders_clientorderid claim WHERE claim.id > %s"
        " AND NOT EXISTS (SELECT 1 FROM orders_order known WHERE known.id = claim.order_id)"
        " LIMIT %s",
        (after_id, BREACHES_MAX),
    ).fetchall()
    bare = connection.execute(
        "SELECT waiting.id, waiting.symbol_id FROM orders_order waiting"
        " WHERE waiting.engine_seq IS NULL AND NOT EXISTS ("
        "   SELECT 1 FROM wallets_reservation held WHERE held.order_id = waiting.id) LIMIT %s",
        (BREACHES_MAX,),
    ).fetchall()
    return [Breach("O1", f"order {row[0]} was acknowledged and is gone") for row in lost] + [
        Breach(
            "O1", f"order {order_id} waits for the engine without a reservation", None, symbol_id
        )
        for order_id, symbol_id in bare
    ]


_UNSERVED: Final = """
SELECT symbol.partition_id FROM exchange_symbol symbol
WHERE EXISTS (SELECT 1 FROM orders_order placed
        WHERE placed.engine_seq IS NULL AND placed.symbol_id = symbol.id)
UNION SELECT partition_id FROM orders_command WHERE engine_seq IS NULL
EXCEPT SELECT id FROM orders_enginepartition
    WHERE greatest(updated_at, lease_until) > clock_timestamp() - make_interval(secs => %s)
ORDER BY 1
"""


def what_waits_is_served(connection: psycopg.Connection) -> list[Breach]:
    """Check O1: a partition with unsequenced rows had a worker within SILENCE_MAX_S."""
    return [
        Breach("O1", f"partition {row[0]}: orders wait, and no engine serves it", freezes=False)
        for row in connection.execute(_UNSERVED, (SILENCE_MAX_S,)).fetchall()
    ]


def gate_end(connection: psycopg.Connection) -> int:
    """Return the mark that the next run's O1 starts from."""
    row = connection.execute("SELECT coalesce(max(id), 0) FROM orders_clientorderid").fetchone()
    assert row is not None
    return max(0, int(row[0]) - GATE_SLACK)


_FILLS: Final = """
SELECT placed.id, placed.symbol_id, placed.filled, placed.filled_quote, placed.quantity,
    coalesce(fills.quantity, 0), coalesce(fills.quote_amount, 0)
FROM {orders_and_fills}
WHERE placed.filled <> coalesce(fills.quantity, 0)
    OR placed.filled_quote <> coalesce(fills.quote_amount, 0)
    OR placed.filled > placed.quantity
    OR (placed.status = 'filled' AND placed.quantity <> placed.filled)
LIMIT %(limit)s
"""
# All trades are summed once: to look for the trades of each order in each day's table would take
# orders x days.
_FILLS_ALL: Final = _FILLS.replace(
    "{orders_and_fills}",
    """orders_order placed LEFT JOIN (
    SELECT id, sum(quantity) AS quantity, sum(quote_amount) AS quote_amount FROM (
        SELECT maker_order_id AS id, quantity, quote_amount FROM orders_trade
        UNION ALL
        SELECT taker_order_id, quantity, quote_amount FROM orders_trade) AS fill GROUP BY id
) AS fills ON fills.id = placed.id""",
)
_FILLS_OF: Final = _FILLS.replace(
    "{orders_and_fills}",
    """(
    SELECT maker_order_id AS id FROM orders_trade WHERE id = ANY(%(ids)s::bigint[])
    UNION SELECT taker_order_id FROM orders_trade WHERE id = ANY(%(ids)s::bigint[])
    LIMIT %(orders)s
) AS touched JOIN orders_order placed ON placed.id = touched.id
LEFT JOIN LATERAL (
    SELECT sum(fill.quantity) AS quantity, sum(fill.quote_amount) AS quote_amount FROM (
        SELECT quantity, quote_amount FROM orders_trade
        WHERE maker_order_id = placed.id AND id >= placed.id - %(slack)s
        UNION ALL
        SELECT quantity, quote_amount FROM orders_trade
        WHERE taker_order_id = placed.id AND id >= placed.id - %(slack)s) AS fill
) AS fills ON true""",
)


def fills_add_up(connection: psycopg.Connection, trade_ids: Sequence[int] | None) -> list[Breach]:
    """Check O2: an order's filled quantity is the sum of its trades and fits its quantity.

    Checks the orders of these trades, or all orders where `trade_ids` is None. The rest of an ended
    order was cancelled or taken off by self-trade prevention, so it needs no check.
    """
    if trade_ids is not None and not trade_ids:
        return []
    rows = connection.execute(
        _FILLS_ALL if trade_ids is None else _FILLS_OF,
        {
            "ids": list(trade_ids or ()),
            "orders": ORDERS_MAX,
            "slack": CLOCK_SLACK,
            "limit": BREACHES_MAX,
        },
    ).fetchall()
    return [
        Breach(
            "O2",
            f"order {row[0]} has filled {row[2]:f} for {row[3]:f}, "
            f"its trades sum to {row[5]:f} for {row[6]:f}",
            symbol_id=row[1],
        )
        for row in rows
    ]
