"""The statements with which intake reserves. Each takes the whole batch as one JSON parameter.

The rows that they change are locked before (wallets/locks.py). The reservations of new orders are
inserted by the statement that inserts the orders (wallets/fragments.py).

Their plans are kept, so each can be planned in one way only (docs/adr/0024).
"""

from typing import Final

# Which of the balances that were not locked exist at all: a missing one is empty, not busy.
BALANCES_PRESENT: Final = """
SELECT balance.account_id, balance.asset_id
FROM json_to_recordset(%s::json) AS want(account_id bigint, asset_id bigint)
CROSS JOIN LATERAL (
    SELECT account_id, asset_id FROM wallets_balance AS one
    WHERE one.account_id = want.account_id AND one.asset_id = want.asset_id OFFSET 0) AS balance
"""

# Who may neither place nor amend. Takes the accounts' ids, not JSON. Asked after the balances are
# locked: whoever bars an account locks them first (`account_funds_lock`), so this sees it, or the
# order was accepted before.
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

# One reservation is one live order.
OPEN_ORDERS: Final = """
SELECT want.account_id, want.symbol_id, (
    SELECT count(*) FROM wallets_reservation AS reservation
    WHERE reservation.account_id = want.account_id AND reservation.symbol_id = want.symbol_id)
FROM json_to_recordset(%s::json) AS want(account_id bigint, symbol_id bigint)
"""

# The CHECK on the table says `available >= 0` again, for the code that forgets.
RESERVE: Final = """
UPDATE wallets_balance AS balance
SET available = balance.available - taken.amount,
    reserved = balance.reserved + taken.amount, version = balance.version + 1
FROM json_to_recordset(%s::json) AS taken(id bigint, amount numeric)
WHERE balance.id = ANY(ARRAY[taken.id]) AND balance.available >= taken.amount
"""

RESERVE_FOR_AMENDS: Final = """
UPDATE wallets_reservation AS reservation
SET amount = reservation.amount + extra.amount, pending_amend_id = extra.command_id
FROM json_to_recordset(%s::json) AS extra(order_id bigint, command_id bigint, amount numeric)
WHERE reservation.order_id = ANY(ARRAY[extra.order_id]) AND reservation.pending_amend_id IS NULL
"""
