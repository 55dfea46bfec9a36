"""The statements of an intake batch. Each takes the whole batch as one JSON parameter.

Locks are taken in one order by everyone: client ids, then reservations, then balances; rows of a
table in key order. Settlement takes reservations and balances in the same order.
"""

from typing import Final

# A claim that another transaction holds makes this wait for its end: of two requests with one
# client id, in whatever processes, exactly one inserts.
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
WHERE claim.account_id = gone.account_id AND claim.client_order_id = gone.client_order_id
"""

# The other order of a pool is locked with the one that is amended: they hold together.
LOCK_RESERVATIONS: Final = """
SELECT order_id, pending_amend_id, pool_id, funded_by
FROM wallets_reservation
WHERE order_id IN (
    SELECT unnest(%(order_ids)s::bigint[])
    UNION
    SELECT other.id FROM wallets_reservation AS own
    JOIN orders_order AS other ON other.list_id = own.pool_id AND other.id > own.pool_id
    WHERE own.order_id = ANY(%(order_ids)s::bigint[]) AND own.pool_id IS NOT NULL)
ORDER BY order_id FOR UPDATE
"""

LOCK_BALANCES: Final = """
SELECT balance.id, balance.account_id, balance.asset_id, balance.available
FROM wallets_balance AS balance
JOIN json_to_recordset(%s::json) AS want(account_id bigint, asset_id bigint)
    ON balance.account_id = want.account_id AND balance.asset_id = want.asset_id
ORDER BY balance.account_id, balance.asset_id FOR UPDATE OF balance
"""
SKIP_LOCKED: Final = " SKIP LOCKED"

# Who may neither place nor amend. Asked after the balances are locked: whoever bars an account
# locks them first (orders/markets/suspensions.py), so this sees it, or the order was accepted
# before.
BARRED: Final = "SELECT takas_accounts_barred(%s::bigint[])"  # wallets/migrations/0011

# Which of the balances that were not locked exist at all: a missing one is empty, not busy.
BALANCES_PRESENT: Final = """
SELECT balance.account_id, balance.asset_id
FROM wallets_balance AS balance
JOIN json_to_recordset(%s::json) AS want(account_id bigint, asset_id bigint)
    ON balance.account_id = want.account_id AND balance.asset_id = want.asset_id
"""

# One reservation is one live order.
OPEN_ORDERS: Final = """
SELECT want.account_id, want.symbol_id, (
    SELECT count(*) FROM wallets_reservation AS held
    WHERE held.account_id = want.account_id AND held.symbol_id = want.symbol_id)
FROM json_to_recordset(%s::json) AS want(account_id bigint, symbol_id bigint)
"""

# A cancel knows the order alone: which worker takes it depends on the symbol.
ORDERS: Final = """
SELECT placed.*, symbol.partition_id
FROM orders_order AS placed JOIN exchange_symbol AS symbol ON symbol.id = placed.symbol_id
WHERE placed.id = ANY(%s::bigint[])
"""

# The lists of these orders, with what became of each of their orders.
LISTS: Final = """
SELECT own.id, list.kind, other.id, other.status
FROM orders_order AS own
JOIN orders_orderlist AS list ON list.id = own.list_id
JOIN orders_order AS other ON other.list_id = list.id AND other.id > list.id
WHERE own.id = ANY(%s::bigint[])
ORDER BY own.id, other.id
"""

CLAIMED_ORDERS: Final = """
SELECT claim.fingerprint, placed.*
FROM json_to_recordset(%s::json) AS want(account_id bigint, client_order_id text)
JOIN orders_clientorderid AS claim
    ON claim.account_id = want.account_id AND claim.client_order_id = want.client_order_id
JOIN orders_order AS placed ON placed.id = claim.order_id
"""

_ORDER_RECORD: Final = """
        id bigint, account_id bigint, symbol_id bigint, client_order_id text, side text, type text,
        time_in_force text, post_only boolean, self_trade text, price numeric, bound_price numeric,
        quantity numeric, quote_amount numeric, maker_fee_ppm integer, taker_fee_ppm integer,
        created_at timestamptz, asset_id bigint, price_ticks bigint, hold numeric,
        reference_price numeric, group_id bigint, owner_tag bigint"""
_SPECIAL_RECORD: Final = """,
        stop_price numeric, trigger_source text, trail_amount numeric, trail_ppm integer,
        activation_price numeric, display_quantity numeric, expires_at timestamptz,
        reprice boolean, bound_trail_ppm integer, reprice_limit numeric, list_id bigint,
        pool_id bigint, funded_by bigint, left_lots bigint"""
_SPECIAL_COLUMNS: Final = """,
        stop_price, trigger_source, trail_amount, trail_ppm, activation_price, display_quantity,
        expires_at, bound_trail_ppm, reprice_limit, list_id"""
_LINKED_COLUMNS: Final = ", pool_id, funded_by, left_lots"


def _insert_orders(record: str, columns: str, reprice: tuple[str, str], linked: str) -> str:
    """Orders and what they hold, from one parse of the batch. What a row leaves out is NULL."""
    return f"""
WITH batch AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS one({_ORDER_RECORD}{record})
), placed AS (
    INSERT INTO orders_order (
        id, account_id, symbol_id, client_order_id, side, type, time_in_force, post_only,
        self_trade, price, bound_price, quantity, quote_amount, status, filled, filled_quote,
        maker_fee_ppm, taker_fee_ppm, created_at, updated_at, reference_price,
        group_id, owner_tag{columns}{reprice[0]})
    SELECT id, account_id, symbol_id, client_order_id, side, type, time_in_force, post_only,
        self_trade, price, bound_price, quantity, quote_amount, 'new', 0, 0,
        maker_fee_ppm, taker_fee_ppm, created_at, created_at, reference_price,
        coalesce(group_id, 0), coalesce(owner_tag, 0){columns}{reprice[1]}
    FROM batch
)
INSERT INTO wallets_reservation (
    order_id, account_id, asset_id, symbol_id, side, price_ticks, amount,
    maker_fee_ppm, taker_fee_ppm, fee_accrued{linked})
SELECT id, account_id, asset_id, symbol_id, side, price_ticks, hold,
    maker_fee_ppm, taker_fee_ppm, 0{linked}
FROM batch
"""  # noqa: S608 - column names of ours


# Nearly all orders are plain, and each column that is looked for in their JSON costs them time.
INSERT_ORDERS: Final = _insert_orders("", "", ("", ""), "")
# Orders with terms, or of a list.
INSERT_SPECIAL_ORDERS: Final = _insert_orders(
    _SPECIAL_RECORD, _SPECIAL_COLUMNS, (", reprice", ", coalesce(reprice, false)"), _LINKED_COLUMNS
)

INSERT_LISTS: Final = """
INSERT INTO orders_orderlist (id, account_id, symbol_id, kind, created_at)
SELECT id, account_id, symbol_id, kind, created_at
FROM json_to_recordset(%s::json) AS one(
    id bigint, account_id bigint, symbol_id bigint, kind text, created_at timestamptz)
"""

# The CHECK on the table says `available >= 0` again, for the code that forgets.
RESERVE: Final = """
UPDATE wallets_balance AS balance
SET available = balance.available - taken.amount,
    reserved = balance.reserved + taken.amount, version = balance.version + 1
FROM json_to_recordset(%s::json) AS taken(id bigint, amount numeric)
WHERE balance.id = taken.id AND balance.available >= taken.amount
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

HOLD_FOR_AMENDS: Final = """
UPDATE wallets_reservation AS held
SET amount = held.amount + extra.amount, pending_amend_id = extra.command_id
FROM json_to_recordset(%s::json) AS extra(order_id bigint, command_id bigint, amount numeric)
WHERE held.order_id = extra.order_id AND held.pending_amend_id IS NULL
"""
