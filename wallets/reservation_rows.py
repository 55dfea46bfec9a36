"""Read and write reservation rows for settlement: amounts in rows, atoms in memory."""

from collections.abc import Collection, Mapping
from typing import Final

import psycopg

from exchange.domain.enums import Side
from exchange.domain.units import decimal_to_atoms
from exchange.infra.database import array_text
from wallets.fees import BUY, SELL
from wallets.locks import reservations_locked
from wallets.reservations import OrderReservation, SettlementChanges

_SIDES: Final = {Side.BUY.value: BUY, Side.SELL.value: SELL}

# Plans of KEEP and END are kept, and only one fits each (docs/adr/0024).
KEEP: Final = """
UPDATE wallets_reservation reservation
SET amount = new.amount, fee_accrued = new.fee_accrued, price_ticks = new.price_ticks,
    pending_amend_id = new.pending_amend_id
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[])
    AS new (order_id, amount, fee_accrued, price_ticks, pending_amend_id)
WHERE reservation.order_id = ANY(ARRAY[new.order_id])
"""
# Only linked orders set these columns.
_KEEP_LINKS: Final = """
UPDATE wallets_reservation reservation
SET pool_id = new.pool_id, funded_by = new.funded_by, left_lots = new.left_lots
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS new (order_id, pool_id, funded_by, left_lots)
WHERE reservation.order_id = new.order_id
"""
END: Final = "DELETE FROM wallets_reservation WHERE order_id = ANY(%s::bigint[])"


def reservations_load(
    connection: psycopg.Connection, order_ids: Collection[int], scales: Mapping[int, int]
) -> dict[int, OrderReservation]:
    """Lock and read the reservations of these orders and their families, by order id.

    `scales` are the decimal places of the assets. Orders that have ended have no reservation.
    """
    if not order_ids:
        return {}
    return {
        row.order_id: OrderReservation(
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
    connection: psycopg.Connection, changes: SettlementChanges, scales: Mapping[int, int]
) -> None:
    """Rewrite the reservations that changed, and delete those of the orders that ended.

    `reservations_load` has locked all of them: a missing row is a bug.
    """
    kept, ended = changes.kept(), changes.ended()
    if kept:
        updated = connection.execute(
            KEEP,
            (
                array_text(reservation.order_id for reservation in kept),
                array_text(
                    f"{reservation.atoms}e-{scales[reservation.asset_id]}" for reservation in kept
                ),
                array_text(reservation.accrued for reservation in kept),
                array_text(reservation.price_ticks for reservation in kept),
                array_text(reservation.pending_amend_id for reservation in kept),
            ),
            prepare=True,
        )
        assert updated.rowcount == len(kept)
    linked = [reservation for reservation in kept if not reservation.is_plain]
    if linked:
        updated = connection.execute(
            _KEEP_LINKS,
            (
                array_text(reservation.order_id for reservation in linked),
                array_text(reservation.pool_id for reservation in linked),
                array_text(reservation.funded_by for reservation in linked),
                array_text(reservation.left_lots for reservation in linked),
            ),
        )
        assert updated.rowcount == len(linked)
    if ended:
        deleted = connection.execute(END, (array_text(ended),), prepare=True)
        assert deleted.rowcount == len(ended)
