"""Pieces of SQL over the tables of wallets, for other apps to compose into their own statements.

No other app names these tables (tests/architecture/test_tables.py). The caller puts a piece, a
plain SELECT, in brackets: Postgres plans the statement as if the tables were named in it.
"""

from typing import Final

# `id` and `user_id` of every account; the house's accounts have no user.
USER_ACCOUNTS: Final = "SELECT id, user_id FROM wallets_account"

# `user_id`, `account_id`, `symbol_id` of each live order.
LIVE_ORDERS_OF_USERS: Final = """
    SELECT account.user_id, reservation.account_id, reservation.symbol_id
    FROM wallets_account AS account
    JOIN wallets_reservation AS reservation ON reservation.account_id = account.id"""

# `symbol_id`, distinct: the symbols with live orders of an account. Parameter: the account's id.
SYMBOLS_OF_LIVE_ORDERS: Final = (
    "SELECT DISTINCT symbol_id FROM wallets_reservation WHERE account_id = %s"
)

# `order_id`: the live orders of some symbols. Parameter: an array of the symbols' ids.
LIVE_ORDERS_OF_SYMBOLS: Final = (
    "SELECT order_id FROM wallets_reservation WHERE symbol_id = ANY(%s::bigint[])"
)

# `name` and `value`: how far the audit has verified growing tables.
AUDIT_MARKS: Final = "SELECT name, value FROM wallets_auditmark"


def live_orders_of(account: str = "%s") -> str:
    """Return a SELECT of the `order_id` of an account's live orders.

    `account` is a parameter, or a column of the caller's statement.
    """
    return f"SELECT order_id FROM wallets_reservation WHERE account_id = {account}"  # noqa: S608


def reservations_insert(source: str, *, is_linked: bool) -> str:
    """Return the INSERT of new orders' reservations from `source`, a table or CTE of the caller.

    `source` has id, account_id, asset_id, symbol_id, side, price_ticks, reserved, maker_fee_ppm
    and taker_fee_ppm; with `is_linked` also pool_id, funded_by and left_lots. Thus one statement
    inserts orders and their reservations.
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
