"""The reservation that one live order requires, from the order's row and its reservation. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from exchange.domain.enums import LIVE_STATUSES, Side
from exchange.domain.units import SymbolUnits, decimal_to_atoms
from risk.audit.inputs import SIDES
from wallets.fees import reservation_atoms, reservation_for_quote_amount

RESERVATIONS: Final = """
SELECT held.order_id, held.account_id, held.symbol_id, held.asset_id, held.side, held.amount,
    held.price_ticks, held.fee_accrued, held.taker_fee_ppm, held.pending_amend_id, held.pool_id,
    held.funded_by, held.left_lots, placed.status, coalesce(placed.price, placed.bound_price),
    placed.quantity, placed.quote_amount, placed.filled, command.reserved_extra,
    command.engine_seq
FROM wallets_reservation held
LEFT JOIN orders_order placed ON placed.id = held.order_id
LEFT JOIN orders_command command ON command.id = held.pending_amend_id
"""


class AuditedReservation(NamedTuple):
    """A row of RESERVATIONS: a reservation, its order and the amend that is on its way."""

    order_id: int
    account_id: int
    symbol_id: int
    asset_id: int
    side: str
    amount: Decimal
    price_ticks: int
    fee_accrued: Decimal
    taker_fee_ppm: int
    pending_amend_id: int | None
    pool_id: int | None
    funded_by: int | None
    left_lots: int | None
    status: str | None
    price: Decimal | None
    quantity: Decimal | None
    quote_amount: Decimal | None
    filled: Decimal
    reserved_extra: Decimal | None
    amend_seq: int | None


def row_problem(reservation: AuditedReservation, units: SymbolUnits) -> str | None:
    """Return what is wrong with a row besides its amount, or None. Raises NotExact off the grid."""
    if reservation.status is None:
        return "has a reservation and does not exist"
    if reservation.status not in LIVE_STATUSES:
        return f"is {reservation.status} and still has {reservation.amount:f} reserved"
    if reservation.price is None:
        return "has neither a price nor a bound"
    if units.price_ticks(reservation.price) != reservation.price_ticks:
        return f"reserves for a price of {reservation.price_ticks} ticks, not for its own"
    if reservation.pending_amend_id is not None and (
        reservation.reserved_extra is None or reservation.amend_seq is not None
    ):
        return f"waits for the amend {reservation.pending_amend_id}, which is not under way"
    if reservation.left_lots is not None and reservation.left_lots != left_lots(reservation, units):
        open_lots = left_lots(reservation, units)
        return f"reserves for {reservation.left_lots} lots, {open_lots} are left"
    return None


def left_lots(reservation: AuditedReservation, units: SymbolUnits) -> int:
    """Return the order's open quantity in lots."""
    assert reservation.quantity is not None, "an order by quote amount never rests"
    return units.quantity_lots(reservation.quantity) - units.quantity_lots(reservation.filled)


def required_atoms(reservation: AuditedReservation, units: SymbolUnits) -> int:
    """Return the atoms that the order requires on its present terms, in the asset it pays with."""
    if reservation.quote_amount is not None:
        amount = decimal_to_atoms(reservation.quote_amount, units.quote_scale)
        return reservation_for_quote_amount(amount, taker_fee_ppm=reservation.taker_fee_ppm)
    return reservation_atoms(
        SIDES[reservation.side],
        left_lots(reservation, units),
        reservation.price_ticks,
        units,
        int(reservation.fee_accrued),
        reservation.taker_fee_ppm,
    )


def extra_atoms(reservation: AuditedReservation, units: SymbolUnits) -> int:
    """Return the atoms reserved in addition for an amend that is on its way; 0 without an amend."""
    return decimal_to_atoms(reservation.reserved_extra or Decimal(0), _scale(reservation, units))


def is_frozen(reservation: AuditedReservation) -> bool:
    """Return whether an amend on its way delays releases, so that more may be reserved until then.

    This is so for linked orders, and for orders whose terms changed while an amend was on its way.
    """
    return reservation.pending_amend_id is not None and reservation.left_lots is not None


def is_enough(
    reserved_atoms: int, needed_atoms: int, reservations: Iterable[AuditedReservation]
) -> bool:
    """Return whether the atoms reserved for a group of orders are those that the group needs.

    They must be equal; they may be more if a reservation is frozen. `needed_atoms` includes the
    atoms reserved for an amend.
    """
    if any(is_frozen(one) for one in reservations):
        return reserved_atoms >= needed_atoms
    return reserved_atoms == needed_atoms


def amount_atoms(reservation: AuditedReservation, units: SymbolUnits) -> int:
    """Return the reservation's amount in atoms."""
    return decimal_to_atoms(reservation.amount, _scale(reservation, units))


def _scale(reservation: AuditedReservation, units: SymbolUnits) -> int:
    return units.quote_scale if reservation.side == Side.BUY else units.base_scale
