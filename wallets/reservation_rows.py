"""Reservations between their rows and settlement's memory: amounts of money and atoms."""

from collections.abc import Collection, Mapping
from typing import Final

import psycopg

from exchange.domain.enums import Side
from exchange.domain.units import decimal_to_atoms
from wallets.fees import BUY, SELL
from wallets.locks import array_text, reservations_locked
from wallets.reservations import Effects, Held

_SIDES: Final = {Side.BUY.value: BUY, Side.SELL.value: SELL}

_KEEP: Final = """
UPDATE wallets_reservation held
SET amount = new.amount, fee_accrued = new.fee_accrued, price_ticks = new.price_ticks,
    pending_amend_id = new.pending_amend_id
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[])
    AS new (order_id, amount, fee_accrued, price_ticks, pending_amend_id)
WHERE held.order_id = new.order_id
"""
# Linked orders only: all other rows keep these columns unset.
_KEEP_LINKS: Final = """
UPDATE wallets_reservation held
SET pool_id = new.pool_id, funded_by = new.funded_by, left_lots = new.left_lots
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS new (order_id, pool_id, funded_by, left_lots)
WHERE held.order_id = new.order_id
"""
_END: Final = "DELETE FROM wallets_reservation WHERE order_id = ANY(%s::bigint[])"


def reservations_load(
    connection: psycopg.Connection, order_ids: Collection[int], scales: Mapping[int, int]
) -> dict[int, Held]:
    """Lock and read the reservations of these orders and their families, by order id.

    `scales` are the decimal places of the assets. Orders that have ended have no reservation.
    """
    if not order_ids:
        return {}
    return {
        row.order_id: Held(
            order_id=row.order_id,
            account_id=row.account_id,
            asset_id=row.asset_id,
            symbol_id=row.symbol_id,
            side=_SIDES[row.side],
            price_ticks=row.price_ticks,
            atoms=decimal_to_atoms(row.amount, scales[row.asset_id]),
            maker_fee_ppm=row.maker_fee_ppm,
            taker_fee_ppm=row.taker_fee_ppm,
            accrued=int(row.fee_accrued),
            pending_amend_id=row.pending_amend_id,
            pool_id=row.pool_id,
            funded_by=row.funded_by,
            left_lots=row.left_lots,
        )
        for row in reservations_locked(connection, order_ids)
    }


def reservations_write(
    connection: psycopg.Connection, effects: Effects, scales: Mapping[int, int]
) -> None:
    """Rewrite the reservations that changed, and delete those of the orders that ended.

    All of them are locked (`reservations_load`): a row that is missing is a bug.
    """
    kept, ended = effects.kept(), effects.ended()
    if kept:
        updated = connection.execute(
            _KEEP,
            (
                array_text(held.order_id for held in kept),
                array_text(f"{held.atoms}e-{scales[held.asset_id]}" for held in kept),
                array_text(held.accrued for held in kept),
                array_text(held.price_ticks for held in kept),
                array_text(held.pending_amend_id for held in kept),
            ),
        )
        assert updated.rowcount == len(kept)
    linked = [held for held in kept if not held.is_plain]
    if linked:
        updated = connection.execute(
            _KEEP_LINKS,
            (
                array_text(held.order_id for held in linked),
                array_text(held.pool_id for held in linked),
                array_text(held.funded_by for held in linked),
                array_text(held.left_lots for held in linked),
            ),
        )
        assert updated.rowcount == len(linked)
    if ended:
        deleted = connection.execute(_END, (array_text(ended),))
        assert deleted.rowcount == len(ended)
