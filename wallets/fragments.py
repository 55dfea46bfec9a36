"""Pieces of SQL over the tables of wallets, for other apps to compose into their own statements.

Nobody else names these tables (tests/architecture/test_tables.py). Each piece is a plain SELECT
that stands in brackets: Postgres plans the whole statement as if the piece were written out in it.
"""

from typing import Final

# `id` and `user_id`: which account is a user's. Those of the house have no user.
USER_ACCOUNTS: Final = "SELECT id, user_id FROM wallets_account"

# `user_id`, `account_id`, `symbol_id`: for each live order whose it is, and where.
LIVE_ORDERS_OF_USERS: Final = """
    SELECT account.user_id, reservation.account_id, reservation.symbol_id
    FROM wallets_account AS account
    JOIN wallets_reservation AS reservation ON reservation.account_id = account.id"""

# `symbol_id`, each once: where an account has live orders. Takes the account's id.
SYMBOLS_OF_LIVE_ORDERS: Final = (
    "SELECT DISTINCT symbol_id FROM wallets_reservation WHERE account_id = %s"
)

# `order_id`: the live orders of these symbols. Takes the symbols' ids.
LIVE_ORDERS_OF_SYMBOLS: Final = (
    "SELECT order_id FROM wallets_reservation WHERE symbol_id = ANY(%s::bigint[])"
)

# `name` and `value`: how far the audit has verified what only grows.
AUDIT_MARKS: Final = "SELECT name, value FROM wallets_auditmark"


def live_orders_of(account: str = "%s") -> str:
    """`order_id`: the live orders of an account, which is a parameter, or a column of yours."""
    return f"SELECT order_id FROM wallets_reservation WHERE account_id = {account}"  # noqa: S608


def reservations_insert(source: str, *, is_linked: bool) -> str:
    """The INSERT of the reservations of new orders, from a table or CTE of yours.

    It has id, account_id, asset_id, symbol_id, side, price_ticks, reserved, maker_fee_ppm and
    taker_fee_ppm; where orders may be linked also pool_id, funded_by and left_lots. So one
    statement can insert orders and what they hold.
    """
    linked = ", pool_id, funded_by, left_lots" if is_linked else ""
    return f"""
INSERT INTO wallets_reservation (
    order_id, account_id, asset_id, symbol_id, side, price_ticks, amount,
    maker_fee_ppm, taker_fee_ppm, fee_accrued{linked})
SELECT id, account_id, asset_id, symbol_id, side, price_ticks, reserved,
    maker_fee_ppm, taker_fee_ppm, 0{linked}
FROM {source}
"""  # noqa: S608 - a name of ours
