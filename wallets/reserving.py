"""The statements with which intake reserves. Each takes the whole batch as one parameter.

Intake locks the rows before it changes them (wallets/locks.py). The statement that inserts new
orders inserts their reservations (wallets/fragments.py).

Postgres keeps the plans, so each statement is written so that only one plan fits (docs/adr/0024).
"""

from typing import Final

# The balances that exist, of those that intake could not lock: a missing balance is empty, an
# existing one is locked by another transaction.
BALANCES_PRESENT: Final = """
SELECT balance.account_id, balance.asset_id
FROM json_to_recordset(%s::json) AS want(account_id bigint, asset_id bigint)
CROSS JOIN LATERAL (
    SELECT account_id, asset_id FROM wallets_balance AS one
    WHERE one.account_id = want.account_id AND one.asset_id = want.asset_id OFFSET 0) AS balance
"""

# The accounts that may neither place nor amend. The parameter is an array of account ids. Intake
# reads this after it has locked the balances. Barring an account locks its balances first
# (`account_funds_lock`): so either this statement sees the bar, or the order was accepted before.
BARRED: Final = """
SELECT account.id
FROM unnest(%s::bigint[]) AS want(account_id)
CROSS JOIN LATERAL (
    SELECT id, user_id FROM wallets_account AS one WHERE one.id = want.account_id OFFSET 0
) AS account
CROSS JOIN LATERAL (
    SELECT FROM exchange_user AS one
    WHERE one.id = account.user_id AND (one.is_suspended OR NOT one.is_active) OFFSET 0
) AS person
"""

# Live orders by account and symbol: each live order has one reservation.
OPEN_ORDERS: Final = """
SELECT want.account_id, want.symbol_id, (
    SELECT count(*) FROM wallets_reservation AS reservation
    WHERE reservation.account_id = want.account_id AND reservation.symbol_id = want.symbol_id)
FROM json_to_recordset(%s::json) AS want(account_id bigint, symbol_id bigint)
"""

# The rows are locked, and the decisions were made from them: a row that the UPDATE does not find is
# a bug, and fails the transaction. The table's CHECK enforces `available >= 0` too.
_ALL_WRITTEN: Final = """
SELECT takas_rows_check((SELECT count(*) FROM written), (SELECT count(*) FROM wanted))
"""

RESERVE: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT id, amount FROM json_to_recordset(%s::json) AS one(id bigint, amount numeric)
), written AS (
    UPDATE wallets_balance AS balance
    SET available = balance.available - wanted.amount,
        reserved = balance.reserved + wanted.amount, version = balance.version + 1
    FROM wanted
    WHERE balance.id = ANY(ARRAY[wanted.id]) AND balance.available >= wanted.amount
    RETURNING 1
){_ALL_WRITTEN}"""  # noqa: S608 - a statement of ours

RESERVE_FOR_AMENDS: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT order_id, command_id, amount
    FROM json_to_recordset(%s::json) AS one(order_id bigint, command_id bigint, amount numeric)
), written AS (
    UPDATE wallets_reservation AS reservation
    SET amount = reservation.amount + wanted.amount, pending_amend_id = wanted.command_id
    FROM wanted
    WHERE reservation.order_id = ANY(ARRAY[wanted.order_id])
      AND reservation.pending_amend_id IS NULL
    RETURNING 1
){_ALL_WRITTEN}"""  # noqa: S608 - a statement of ours
