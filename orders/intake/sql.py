"""SQL of an intake batch on the tables of orders, with the INSERT that also reserves.

Each statement takes the whole batch as one parameter. Statements on reservations and balances are
in wallets/locks.py and wallets/reserving.py.

All transactions take locks in one order: client ids, then reservations, then balances; rows of a
table in key order. Settlement takes reservations and balances in the same order.

Plans of these statements are kept for the life of a connection, so each statement is written such
that there is one way only to find its rows: by key, for each row of the batch (docs/adr/0024).
A read looks in `CROSS JOIN LATERAL (... OFFSET 0)`, which Postgres may not turn around. A change
says `key = ANY(ARRAY[wanted])` for the same reason.
"""

from typing import Final

from orders.commands.columns import TERMS_NAMES, TERMS_RECORD, TERMS_VALUES
from wallets.fragments import reservations_insert
from wallets.locks import lock_amended

# The INSERT waits for another transaction that claims the same id, so exactly one of two requests
# with one client id inserts, in any processes.
CLAIM: Final = """
INSERT INTO orders_clientorderid (account_id, client_order_id, order_id, fingerprint)
SELECT account_id, client_order_id, order_id, decode(fingerprint, 'hex')
FROM json_to_recordset(%s::json)
    AS claim(account_id bigint, client_order_id text, order_id bigint, fingerprint text)
ORDER BY account_id, client_order_id
ON CONFLICT (account_id, client_order_id) DO NOTHING
RETURNING order_id
"""

UNCLAIM: Final = """
DELETE FROM orders_clientorderid AS claim
USING json_to_recordset(%s::json) AS gone(account_id bigint, client_order_id text)
WHERE claim.account_id = ANY(ARRAY[gone.account_id])
  AND claim.client_order_id = ANY(ARRAY[gone.client_order_id])
"""

# Takes `skip_locked` by `format`.
LOCK_AMENDED: Final = lock_amended("SELECT id, list_id FROM orders_order")

# A cancel names only an order; the order's symbol decides the partition.
ORDERS: Final = """
SELECT placed.*, symbol.partition_id
FROM unnest(%s::bigint[]) AS want(order_id)
CROSS JOIN LATERAL (
    SELECT one.* FROM orders_order AS one WHERE one.id = want.order_id OFFSET 0) AS placed
CROSS JOIN LATERAL (
    SELECT partition_id FROM exchange_symbol AS one WHERE one.id = placed.symbol_id OFFSET 0
) AS symbol
"""

# The lists of these orders, with the status of each order in them.
LISTS: Final = """
SELECT own.id, list.kind, other.id, other.status
FROM unnest(%s::bigint[]) AS want(order_id)
CROSS JOIN LATERAL (
    SELECT id, list_id FROM orders_order AS one WHERE one.id = want.order_id OFFSET 0) AS own
CROSS JOIN LATERAL (
    SELECT id, kind FROM orders_orderlist AS one WHERE one.id = own.list_id OFFSET 0) AS list
CROSS JOIN LATERAL (
    SELECT id, status FROM orders_order AS one
    WHERE one.list_id = list.id AND one.id > list.id OFFSET 0) AS other
ORDER BY own.id, other.id
"""

CLAIMED_ORDERS: Final = """
SELECT claim.fingerprint, placed.*
FROM json_to_recordset(%s::json) AS want(account_id bigint, client_order_id text)
CROSS JOIN LATERAL (
    SELECT order_id, fingerprint FROM orders_clientorderid AS one
    WHERE one.account_id = want.account_id AND one.client_order_id = want.client_order_id
    OFFSET 0) AS claim
CROSS JOIN LATERAL (
    SELECT one.* FROM orders_order AS one WHERE one.id = claim.order_id OFFSET 0) AS placed
"""

_ORDER_RECORD: Final = """
        id bigint, account_id bigint, symbol_id bigint, client_order_id text, side text, type text,
        time_in_force text, post_only boolean, self_trade text, price numeric, bound_price numeric,
        quantity numeric, quote_amount numeric, maker_fee_ppm integer, taker_fee_ppm integer,
        created_at timestamptz, asset_id bigint, price_ticks bigint, reserved numeric,
        reference_price numeric, group_id bigint, owner_tag bigint"""
# Columns that only some orders have: their terms and their links to a list.
_SPECIAL_RECORD: Final = (
    f", {TERMS_RECORD}, list_id bigint, pool_id bigint, funded_by bigint, left_lots bigint"
)


def _insert_orders(record: str, columns: str, values: str, *, is_linked: bool) -> str:
    """The INSERT of orders and their reservations, from one parse of the batch.

    A column that a row leaves out is NULL.
    """
    return f"""
WITH batch AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS one({_ORDER_RECORD}{record})
), placed AS (
    INSERT INTO orders_order (
        id, account_id, symbol_id, client_order_id, side, type, time_in_force, post_only,
        self_trade, price, bound_price, quantity, quote_amount, status, filled, filled_quote,
        maker_fee_ppm, taker_fee_ppm, created_at, updated_at, reference_price,
        group_id, owner_tag{columns})
    SELECT id, account_id, symbol_id, client_order_id, side, type, time_in_force, post_only,
        self_trade, price, bound_price, quantity, quote_amount, 'new', 0, 0,
        maker_fee_ppm, taker_fee_ppm, created_at, created_at, reference_price,
        coalesce(group_id, 0), coalesce(owner_tag, 0){values}
    FROM batch
)
{reservations_insert("batch", is_linked=is_linked)}"""  # noqa: S608 - column names of ours


# Nearly all orders are plain, and each further column to find in their JSON would cost time.
INSERT_ORDERS: Final = _insert_orders("", "", "", is_linked=False)
INSERT_SPECIAL_ORDERS: Final = _insert_orders(
    _SPECIAL_RECORD, f", {TERMS_NAMES}, list_id", f", {TERMS_VALUES}, list_id", is_linked=True
)

INSERT_LISTS: Final = """
INSERT INTO orders_orderlist (id, account_id, symbol_id, kind, created_at)
SELECT id, account_id, symbol_id, kind, created_at
FROM json_to_recordset(%s::json) AS one(
    id bigint, account_id bigint, symbol_id bigint, kind text, created_at timestamptz)
"""

INSERT_COMMANDS: Final = """
INSERT INTO orders_command (
    id, partition_id, kind, symbol_id, account_id, order_id, payload, reserved_extra,
    requested_by, note, created_at)
SELECT id, partition_id, kind, symbol_id, account_id, order_id, decode(payload, 'hex'),
    reserved_extra, requested_by, note, created_at
FROM json_to_recordset(%s::json) AS one(
    id bigint, partition_id integer, kind text, symbol_id bigint, account_id bigint,
    order_id bigint, payload text, reserved_extra numeric, requested_by bigint, note text,
    created_at timestamptz)
"""
