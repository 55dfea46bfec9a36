"""The only place that locks money rows, and the one order in which they are locked.

Import contracts say who may import it; a test keeps the tables' names out of other apps.

1. reservations, by order id
2. balances, by (account, asset), in the last statement before the commit wherever that is possible

A transaction that locks both kinds locks them in this order, and each kind once. A transaction
that locks a balance and then a reservation can deadlock with settlement.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import psycopg
from django.db import connection as django_connection

from exchange.infra.database import array_text
from wallets.postings import BalanceChange, BalanceKey


class ReservationRow(NamedTuple):
    """A reservation as stored: the amount in units of its asset, the rest as integers."""

    order_id: int
    account_id: int
    asset_id: int
    symbol_id: int
    side: str
    price_ticks: int
    amount: Decimal
    maker_fee_ppm: int
    taker_fee_ppm: int
    fee_accrued: Decimal
    pending_amend_id: int | None
    pool_id: int | None
    funded_by: int | None
    left_lots: int | None


class BalanceRow(NamedTuple):
    """A balance after a change; `version` counts its changes."""

    account_id: int
    asset_id: int
    available: Decimal
    reserved: Decimal
    may_be_negative: bool
    version: int


# The family of an order: orders that its fills pay for, and the other order of its pool. Both
# lookups read partial indexes of linked orders: without linked orders they cost next to nothing
# (measured: 0.1 ms for 512 orders). One statement locks all rows in one order. The CTE gives the
# planner one copy of the ids instead of three. Its plan is kept, and only one fits it: orders are
# looked up by an array of ids, pools one by one (docs/adr/0024).
RESERVATIONS_LOCKED = """
WITH named AS MATERIALIZED (SELECT %s::bigint[] AS ids)
SELECT order_id, account_id, asset_id, symbol_id, side, price_ticks, amount, maker_fee_ppm,
       taker_fee_ppm, fee_accrued, pending_amend_id, pool_id, funded_by, left_lots
FROM wallets_reservation WHERE order_id = ANY((SELECT named.ids || ARRAY(
    SELECT funded.order_id FROM wallets_reservation funded WHERE funded.funded_by = ANY(named.ids)
    UNION ALL
    SELECT other.order_id
    FROM (
        SELECT pool_id FROM wallets_reservation
        WHERE pool_id IS NOT NULL AND order_id = ANY(named.ids) OFFSET 0) AS own
    CROSS JOIN LATERAL (
        SELECT order_id FROM wallets_reservation AS one
        WHERE one.pool_id = own.pool_id OFFSET 0) AS other
) FROM named)::bigint[]) ORDER BY order_id FOR UPDATE
"""


def reservations_locked(
    connection: psycopg.Connection, order_ids: Collection[int]
) -> list[ReservationRow]:
    """Lock and return the reservations of these orders and their families, by order id."""
    named = array_text(sorted(order_ids))
    rows = connection.execute(RESERVATIONS_LOCKED, (named,), prepare=True).fetchall()
    return [ReservationRow(*row) for row in rows]


# Intake's value for `skip_locked`: it skips rows that others have locked; "" waits for them.
SKIP_LOCKED: Final = " SKIP LOCKED"


def lock_amended(orders: str) -> str:
    """Return intake's statement that locks the reservations of amended orders.

    Its parameter `order_ids` is an array; `format` fills in `skip_locked`. Only one plan fits it
    (docs/adr/0024).

    Two orders of a pool share one reservation, so the statement locks the other order's row too.
    `orders` is a SELECT of the `id` and `list_id` of all orders. A pool has the id of its list:
    the index of lists finds the other order without statistics, the indexes of pools do not.
    """
    return f"""
SELECT locked.order_id, locked.pending_amend_id, locked.pool_id, locked.funded_by
FROM (
    SELECT unnest(%(order_ids)s::bigint[]) AS order_id
    UNION
    SELECT other.id
    FROM unnest(%(order_ids)s::bigint[]) AS amended(order_id)
    CROSS JOIN LATERAL (
        SELECT pool_id FROM wallets_reservation AS one
        WHERE one.order_id = amended.order_id AND one.pool_id IS NOT NULL OFFSET 0) AS own
    CROSS JOIN LATERAL (
        SELECT id FROM ({orders}) AS one
        WHERE one.list_id = own.pool_id AND one.id > own.pool_id OFFSET 0) AS other
    ORDER BY 1) AS want
CROSS JOIN LATERAL (
    SELECT order_id, pending_amend_id, pool_id, funded_by FROM wallets_reservation AS one
    WHERE one.order_id = want.order_id FOR UPDATE{{skip_locked}}) AS locked
"""  # noqa: S608 - a SELECT of ours


# Intake locks the balances that pay. The parameter is JSON: objects with account_id and asset_id;
# `format` fills in `skip_locked`. Only one plan fits it (docs/adr/0024).
LOCK_BALANCES: Final = """
SELECT locked.id, locked.account_id, locked.asset_id, locked.available
FROM (
    SELECT account_id, asset_id
    FROM json_to_recordset(%s::json) AS one(account_id bigint, asset_id bigint)
    ORDER BY account_id, asset_id) AS want
CROSS JOIN LATERAL (
    SELECT id, account_id, asset_id, available FROM wallets_balance AS one
    WHERE one.account_id = want.account_id AND one.asset_id = want.asset_id
    FOR UPDATE{skip_locked}) AS locked
"""

_LOCK_ACCOUNT: Final = "SELECT id FROM wallets_account WHERE user_id = %s FOR UPDATE"
_LOCK_FUNDS: Final = """
SELECT id FROM wallets_balance WHERE account_id = %s ORDER BY account_id, asset_id FOR UPDATE
"""


def account_funds_lock(user_id: int) -> None:
    """Lock the user's account and balances until the caller's Django transaction ends.

    Waits for the user's orders that intake is accepting; intake then accepts none until the end.
    The lock of the account's row blocks new balances, those of the balances block reservations.
    """
    with django_connection.cursor() as cursor:
        cursor.execute(_LOCK_ACCOUNT, [user_id])
        for (account_id,) in cursor.fetchall():
            cursor.execute(_LOCK_FUNDS, [account_id])


# Plans of these two are kept, and only one fits each (docs/adr/0024).
BALANCES_MISSING = """
INSERT INTO wallets_balance (account_id, asset_id, available, reserved, may_be_negative, version)
SELECT wanted.account_id, wanted.asset_id, 0, 0, account.kind <> 'user', 0
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (account_id, asset_id)
CROSS JOIN LATERAL (
    SELECT kind FROM wallets_account AS one WHERE one.id = wanted.account_id OFFSET 0) AS account
WHERE NOT EXISTS (
    SELECT 1 FROM wallets_balance known
    WHERE known.account_id = wanted.account_id AND known.asset_id = wanted.asset_id OFFSET 0)
ORDER BY wanted.account_id, wanted.asset_id
ON CONFLICT (account_id, asset_id) DO NOTHING
"""


def balances_create_missing(connection: psycopg.Connection, keys: Collection[BalanceKey]) -> None:
    """Insert the missing ones of these balances; call it before the transaction locks a balance."""
    accounts, assets = _columns(sorted(keys))
    connection.execute(BALANCES_MISSING, (accounts, assets), prepare=True)


# Rows are updated, and by that locked, one by one in the order of the sorted changes.
BALANCES_APPLY = """
UPDATE wallets_balance AS balance
SET available = balance.available + change.available,
    reserved = balance.reserved + change.reserved,
    version = balance.version + 1
FROM (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
        AS c (account_id, asset_id, available, reserved)
    ORDER BY account_id, asset_id) AS change
WHERE balance.account_id = ANY(ARRAY[change.account_id])
  AND balance.asset_id = ANY(ARRAY[change.asset_id])
RETURNING balance.account_id, balance.asset_id, balance.available, balance.reserved,
    balance.may_be_negative, balance.version
"""


def balances_apply(
    connection: psycopg.Connection,
    changes: Mapping[BalanceKey, BalanceChange],
    scales: Mapping[int, int],
) -> list[BalanceRow]:
    """Lock the balances in order, add the changes in one statement, return the changed balances.

    `scales` are the decimal places of the assets, by asset id. Every balance must exist. Raises
    psycopg.errors.CheckViolation when a balance would go below zero; in settlement that is a bug,
    because every order reserves before it spends.
    """
    keys = sorted(changes)
    accounts, assets = _columns(keys)
    available = array_text(f"{changes[key].available_atoms}e-{scales[key[1]]}" for key in keys)
    reserved = array_text(f"{changes[key].reserved_atoms}e-{scales[key[1]]}" for key in keys)
    values = (accounts, assets, available, reserved)
    rows = connection.execute(BALANCES_APPLY, values, prepare=True).fetchall()
    assert len(rows) == len(keys), "every balance that changes exists"
    return [BalanceRow(*row) for row in rows]


def _columns(keys: Sequence[BalanceKey]) -> tuple[str, str]:
    return (
        array_text(account_id for account_id, _ in keys),
        array_text(asset_id for _, asset_id in keys),
    )
