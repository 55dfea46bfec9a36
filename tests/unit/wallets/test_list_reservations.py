"""Linked orders by example: what they reserve and bring in."""

import pytest

from tests.unit.wallets.test_fees import UNITS
from wallets.fees import BUY, SELL, brings_min_atoms, is_funded, pool_atoms


def test_a_pool_reserves_the_larger_amount_that_its_orders_require() -> None:
    assert pool_atoms([3, 7, 0]) == 7


@pytest.mark.parametrize(
    ("parent", "child", "funded"),
    [(BUY, SELL, True), (SELL, BUY, True), (BUY, BUY, False), (SELL, SELL, False)],
)
def test_an_order_is_paid_for_by_one_of_the_other_side(
    parent: int, child: int, funded: bool
) -> None:
    assert is_funded(parent, child) is funded


def test_a_buyer_brings_in_all_it_buys_for_fees_are_in_the_other_asset() -> None:
    assert brings_min_atoms(BUY, 7, 100, UNITS, 1_000) == 70_000


@pytest.mark.parametrize(
    ("fee_ppm", "atoms"), [(0, 2_100), (1_000, 2_100 - 3), (1, 2_100 - 1), (1_000_000, 0)]
)
def test_a_seller_brings_in_the_notional_less_the_fee_rounded_up(fee_ppm: int, atoms: int) -> None:
    assert brings_min_atoms(SELL, 7, 100, UNITS, fee_ppm) == atoms
