"""The statements with which intake reserves. Each takes the whole batch as one JSON parameter.

The rows that they change are locked before (wallets/locks.py). The reservations of new orders are
inserted by the statement that inserts the orders (wallets/fragments.py).
"""

from typing import Final

# Which of the balances that were not locked exist at all: a missing one is empty, not busy.
BALANCES_PRESENT: Final = """
SELECT balance.account_id, balance.asset_id
FROM wallets_balance AS balance
JOIN json_to_recordset(%s::json) AS want(account_id bigint, asset_id bigint)
    ON balance.account_id = want.account_id AND balance.asset_id = want.asset_id
"""

# Who may neither place nor amend. Takes the accounts' ids, not JSON. Asked after the balances are
# locked: whoever bars an account locks them first (`account_funds_lock`), so this sees it, or the
# order was accepted before. The function is in wallets/migrations/0011.
BARRED: Final = "SELECT takas_accounts_barred(%s::bigint[])"

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
WHERE balance.id = taken.id AND balance.available >= taken.amount
"""

RESERVE_FOR_AMENDS: Final = """
UPDATE wallets_reservation AS reservation
SET amount = reservation.amount + extra.amount, pending_amend_id = extra.command_id
FROM json_to_recordset(%s::json) AS extra(order_id bigint, command_id bigint, amount numeric)
WHERE reservation.order_id = extra.order_id AND reservation.pending_amend_id IS NULL
"""
