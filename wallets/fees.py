"""Fees and what a live order must hold. Pure integers; every rounding stands here.

A fee is charged in the quote asset. It accrues over an order's life in millionths of an atom
(`accrued_ppm_atoms` = sum of notional_atoms x fee_ppm) and is rounded up once, on the sum: each
fill pays the difference of two rounded sums, so many small fills never cost more than one big one.

Units: `atoms` are 10**-scale of an asset, `ppm` parts per million.
"""

from typing import Final

PPM: Final = 1_000_000


def fee_ceil(accrued_ppm_atoms: int) -> int:
    """Whole atoms of what has accrued, rounded up: the house never rounds against itself."""
    assert accrued_ppm_atoms >= 0
    return -(-accrued_ppm_atoms // PPM)


def fill_fee_atoms(accrued_ppm_atoms: int, notional_atoms: int, fee_ppm: int) -> int:
    """What one fill pays, given what had accrued before it."""
    assert notional_atoms >= 0
    assert 0 <= fee_ppm < PPM
    return fee_ceil(accrued_ppm_atoms + notional_atoms * fee_ppm) - fee_ceil(accrued_ppm_atoms)


def buy_hold_atoms(notional_left_atoms: int, accrued_ppm_atoms: int, taker_fee_ppm: int) -> int:
    """Quote atoms a buyer must hold for what is left: notional and the highest fee on it."""
    return notional_left_atoms + fill_fee_atoms(
        accrued_ppm_atoms, notional_left_atoms, taker_fee_ppm
    )
