"""The only place that locks money rows, and the one order in which they are locked.

Import contracts say who may ask for it; a test keeps the tables' names out of other apps.

1. reservations, by order id
2. balances, by (account, asset), in the last statement before the commit wherever that is possible

A transaction that locks both takes them in this order and takes each kind once. Whoever has a
balance and then asks for a reservation can deadlock with settlement.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import psycopg
from django.db import connection as django_connection

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
# lookups read indexes of linked orders alone: without such orders they cost next to nothing
# (measured: 0.1 ms for 512 orders). One statement locks all rows in one order. The CTE keeps the
# ids out of the planner, which would go through three copies of them.
RESERVATIONS_LOCKED = """
WITH named AS MATERIALIZED (SELECT %s::bigint[] AS ids)
SELECT order_id, account_id, asset_id, symbol_id, side, price_ticks, amount, maker_fee_ppm,
       taker_fee_ppm, fee_accrued, pending_amend_id, pool_id, funded_by, left_lots
FROM wallets_reservation WHERE order_id = ANY((SELECT named.ids || ARRAY(
    SELECT funded.order_id FROM wallets_reservation funded WHERE funded.funded_by = ANY(named.ids)
    UNION ALL
    SELECT other.order_id
    FROM wallets_reservation one JOIN wallets_reservation other USING (pool_id)
    WHERE one.pool_id IS NOT NULL AND one.order_id = ANY(named.ids)
) FROM named)::bigint[]) ORDER BY order_id FOR UPDATE
"""


def reservations_locked(
    connection: psycopg.Connection, order_ids: Collection[int]
) -> list[ReservationRow]:
    """Lock the reservations that exist among these orders and their families, by order id."""
    rows = connection.execute(RESERVATIONS_LOCKED, (array_text(sorted(order_ids)),)).fetchall()
    return [ReservationRow(*row) for row in rows]


# Intake takes no more than it has to wait for: `skip_locked` is this, or "" when it must wait.
SKIP_LOCKED: Final = " SKIP LOCKED"


def lock_amended(orders: str) -> str:
    """Intake's statement for amends, which takes their orders' ids as `order_ids`.

    It takes `skip_locked` by `format`, and has one plan only (docs/adr/0024).

    The other order of a pool is locked with the one that is amended: they hold together. `orders`
    is a SELECT of the `id` and `list_id` of all orders. A pool has the id of its list; by the index
    of lists the other order is found without statistics, by those of pools it is not.
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


# Intake's, for all that pays: takes (account_id, asset_id) as one JSON parameter, and `skip_locked`
# by `format`. It has one plan only (docs/adr/0024).
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
    """Wait for every order of the user that is being accepted; none is until the transaction ends.

    In Django's transaction. The account's row holds up new balances, the balances hold up what
    would reserve from them.
    """
    with django_connection.cursor() as cursor:
        cursor.execute(_LOCK_ACCOUNT, [user_id])
        for (account_id,) in cursor.fetchall():
            cursor.execute(_LOCK_FUNDS, [account_id])


BALANCES_MISSING = """
INSERT INTO wallets_balance (account_id, asset_id, available, reserved, may_be_negative, version)
SELECT wanted.account_id, wanted.asset_id, 0, 0, account.kind <> 'user', 0
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (account_id, asset_id)
JOIN wallets_account account ON account.id = wanted.account_id
WHERE NOT EXISTS (
    SELECT 1 FROM wallets_balance known
    WHERE known.account_id = wanted.account_id AND known.asset_id = wanted.asset_id)
ORDER BY wanted.account_id, wanted.asset_id
ON CONFLICT (account_id, asset_id) DO NOTHING
"""


def balances_create_missing(connection: psycopg.Connection, keys: Collection[BalanceKey]) -> None:
    """Make sure that these balances exist; call it before anything locks a balance."""
    accounts, assets = _columns(sorted(keys))
    connection.execute(BALANCES_MISSING, (accounts, assets))


# LockRows sits above the sort: rows are locked in exactly this order, then all are updated.
BALANCES_APPLY = """
WITH change AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
        AS c (account_id, asset_id, available, reserved)
), locked AS MATERIALIZED (
    SELECT balance.id, change.available, change.reserved
    FROM change JOIN wallets_balance balance USING (account_id, asset_id)
    ORDER BY balance.account_id, balance.asset_id FOR UPDATE OF balance
)
UPDATE wallets_balance balance
SET available = balance.available + locked.available,
    reserved = balance.reserved + locked.reserved,
    version = balance.version + 1
FROM locked WHERE balance.id = locked.id
RETURNING balance.account_id, balance.asset_id, balance.available, balance.reserved,
    balance.may_be_negative, balance.version
"""


def balances_apply(
    connection: psycopg.Connection,
    changes: Mapping[BalanceKey, BalanceChange],
    scales: Mapping[int, int],
) -> list[BalanceRow]:
    """Lock the balances in order and add the changes, in one statement; return them as they are.

    Every balance must exist. The table's constraints refuse what would go below zero, and with it
    the transaction: here that is a bug, because whoever spends has reserved before.
    """
    keys = sorted(changes)
    accounts, assets = _columns(keys)
    available = array_text(f"{changes[key].available_atoms}e-{scales[key[1]]}" for key in keys)
    reserved = array_text(f"{changes[key].reserved_atoms}e-{scales[key[1]]}" for key in keys)
    rows = connection.execute(BALANCES_APPLY, (accounts, assets, available, reserved)).fetchall()
    assert len(rows) == len(keys), "every balance that changes exists"
    return [BalanceRow(*row) for row in rows]


def _columns(keys: Sequence[BalanceKey]) -> tuple[str, str]:
    return (
        array_text(account_id for account_id, _ in keys),
        array_text(asset_id for _, asset_id in keys),
    )


def array_text(values: Iterable[int | str | None]) -> str:
    """Numbers as the text of a Postgres array; the statement casts it.

    Several times faster than the driver's own dumping of long lists. For numbers only: nothing is
    quoted. `123e-8` is a number to Postgres, and exact.
    """
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
