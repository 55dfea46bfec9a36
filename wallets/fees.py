"""Fees and reservations: what a fill costs, and what a live order keeps reserved. Pure integers.

Units: amounts in atoms of the asset named, `accrued` in atom-ppm (atoms x parts per million).

An order's fee is rounded up once over its whole life. It accrues the exact fee, and each fill pays
the difference of the rounded totals before and after it: however the order is split into fills, the
sum of its fees is the rounded exact fee. Therefore a reservation computed at acceptance covers
every possible way to fill the order, and no amount is ever clamped.
"""

from collections.abc import Iterable
from typing import Final

from exchange.domain.units import PPM, SymbolUnits

# The side codes of the engine's messages; wallets and matching do not import each other.
BUY: Final = 0
SELL: Final = 1


def fee_ceil(accrued: int) -> int:
    """Return the fee in atoms of an accrued exact fee in atom-ppm, rounded up for the house."""
    assert accrued >= 0
    return -(-accrued // PPM)


def fee_of_fill(accrued_before: int, notional_atoms: int, fee_ppm: int) -> tuple[int, int]:
    """Return (fee of this fill in quote atoms, accrued after it).

    The rate is at most 100 %, so the fee is at most the notional: a seller's proceeds cover it.
    """
    assert accrued_before >= 0
    assert notional_atoms > 0
    assert 0 <= fee_ppm <= PPM
    accrued_after = accrued_before + notional_atoms * fee_ppm
    return fee_ceil(accrued_after) - fee_ceil(accrued_before), accrued_after


def reservation_for_quote_amount(amount_atoms: int, *, taker_fee_ppm: int, accrued: int = 0) -> int:
    """Return the quote atoms to reserve for a buyer who may still spend `amount_atoms`.

    The fee is included on top of the amount. A new market order by quote amount has accrued
    nothing; an order with fills passes what it accrued, and its open notional as the amount.
    """
    assert amount_atoms >= 0
    assert 0 <= taker_fee_ppm <= PPM
    return amount_atoms + fee_ceil(accrued + amount_atoms * taker_fee_ppm) - fee_ceil(accrued)


def reservation_atoms(
    side: int,
    left_lots: int,
    price_ticks: int,
    units: SymbolUnits,
    accrued: int,
    taker_fee_ppm: int,
) -> int:
    """Return the atoms a live order requires: base for a seller, quote with the fee for a buyer.

    `price_ticks` is the order's limit, or a market order's protective bound.
    """
    assert left_lots >= 0
    if side == SELL:
        return left_lots * units.base_atoms_per_lot
    assert side == BUY
    assert price_ticks > 0
    notional_atoms = price_ticks * left_lots * units.quote_atoms_per_ticklot
    return reservation_for_quote_amount(
        notional_atoms, taker_fee_ppm=taker_fee_ppm, accrued=accrued
    )


def amend_extra_atoms(
    side: int,
    *,
    filled_lots: int,
    price_ticks: int,
    quantity_lots: int,
    new_price_ticks: int,
    new_quantity_lots: int,
    units: SymbolUnits,
    taker_fee_ppm: int,
) -> int:
    """Return the atoms to reserve before an amend is sequenced, enough for any fills before it.

    `filled_lots` is the filled quantity known now. When the engine applies the amend, the filled
    quantity may have grown to just below both quantities; beyond that the engine refuses the
    amend. The change of notional is linear in the filled quantity, so one of the two ends is the
    worst case. The fee on that change, rounded up alone, bounds the change of the fee at every
    accrued value.
    """
    assert filled_lots >= 0
    assert price_ticks > 0
    assert new_price_ticks > 0
    filled_lots_max = min(quantity_lots, new_quantity_lots) - 1
    if filled_lots > filled_lots_max:
        return 0  # too late: the engine will refuse it
    if side == SELL:
        return max(0, new_quantity_lots - quantity_lots) * units.base_atoms_per_lot
    assert side == BUY
    growth_ticklots = max(
        new_price_ticks * (new_quantity_lots - filled) - price_ticks * (quantity_lots - filled)
        for filled in (filled_lots, filled_lots_max)
    )
    if growth_ticklots <= 0:
        return 0
    growth_atoms = growth_ticklots * units.quote_atoms_per_ticklot
    return growth_atoms + fee_ceil(growth_atoms * taker_fee_ppm)


def pool_atoms(needs: Iterable[int]) -> int:
    """Return the atoms that a pool's orders require: only one can trade, so the largest need."""
    return max(needs)


def is_funded(parent_side: int, child_side: int) -> bool:
    """Tell whether a child order pays with what its parent's fills bring in: the sides differ."""
    assert parent_side in (BUY, SELL)
    assert child_side in (BUY, SELL)
    return parent_side != child_side


def brings_min_atoms(
    side: int, lots: int, price_ticks: int, units: SymbolUnits, taker_fee_ppm: int
) -> int:
    """Return the least atoms that an order brings in once all of its lots are filled.

    A buyer brings in base atoms. A seller brings in quote atoms net of the fee: no fill is below
    `price_ticks` (its limit or bound), and a better price adds more to the proceeds than to the
    fee.
    """
    assert lots > 0
    if side == BUY:
        return lots * units.base_atoms_per_lot
    assert side == SELL
    assert price_ticks > 0
    notional_atoms = price_ticks * lots * units.quote_atoms_per_ticklot
    return notional_atoms - fee_ceil(notional_atoms * taker_fee_ppm)
