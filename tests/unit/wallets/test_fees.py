"""wallets.fees by example: one rounding over an order's life, reservations for the worst."""

from decimal import Decimal

import pytest

from exchange.domain.units import SymbolUnits
from matching.engine import messages
from wallets.fees import (
    BUY,
    SELL,
    amend_extra_atoms,
    fee_ceil,
    fee_of_fill,
    reservation_atoms,
    reservation_for_quote_amount,
)

UNITS = SymbolUnits(
    symbol_id=1,
    code="BTC-USDT",
    base_asset_id=1,
    quote_asset_id=2,
    base_scale=8,
    quote_scale=6,
    tick=Decimal("0.03"),
    lot=Decimal("0.0001"),
    base_atoms_per_lot=10_000,
    quote_atoms_per_ticklot=3,
)


def test_side_codes_are_those_of_the_engine():
    assert (BUY, SELL) == (messages.BUY, messages.SELL)


@pytest.mark.parametrize(
    ("accrued", "fee_atoms"),
    [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)],
)
def test_fee_is_rounded_up(accrued, fee_atoms):
    assert fee_ceil(accrued) == fee_atoms


def test_second_small_fill_rides_on_the_atom_already_paid():
    first, accrued = fee_of_fill(0, 100, 1_000)  # 0.1 atoms
    second, accrued = fee_of_fill(accrued, 100, 1_000)
    assert (first, second, accrued) == (1, 0, 200_000)


def test_seller_reserves_base_and_no_fee():
    assert reservation_atoms(SELL, 7, 100, UNITS, 0, 1_000) == 70_000


def test_buyer_reserves_notional_and_taker_fee():
    assert reservation_atoms(BUY, 7, 100, UNITS, 0, 1_000) == 2_100 + 3


def test_order_by_quote_amount_reserves_the_fee_on_top():
    assert reservation_for_quote_amount(2_100, taker_fee_ppm=1_000) == 2_103


def test_nothing_left_needs_nothing():
    assert reservation_atoms(BUY, 0, 100, UNITS, 500_000, 1_000) == 0
    assert reservation_atoms(SELL, 0, 100, UNITS, 0, 1_000) == 0


def amend(side, **changes):
    terms = {
        "filled_lots": 0,
        "price_ticks": 100,
        "quantity_lots": 10,
        "new_price_ticks": 100,
        "new_quantity_lots": 10,
    }
    return amend_extra_atoms(side, **(terms | changes), units=UNITS, taker_fee_ppm=1_000)


@pytest.mark.parametrize(
    ("case", "side", "changes", "extra_atoms"),
    [
        ("reduction needs nothing", BUY, {"new_quantity_lots": 5}, 0),
        ("lower price needs nothing", BUY, {"new_price_ticks": 90}, 0),
        ("higher price, all open", BUY, {"new_price_ticks": 110}, 300 + 1),
        ("higher price, part filled", BUY, {"new_price_ticks": 110, "filled_lots": 6}, 120 + 1),
        ("more lots", BUY, {"new_quantity_lots": 12}, 600 + 1),
        (
            # None filled: 5 at 150 replace 10 at 100. Four filled: 1 at 150 replaces 6 at 100.
            "dearer but smaller",
            BUY,
            {"new_price_ticks": 150, "new_quantity_lots": 5},
            0,
        ),
        (
            # Cheaper but larger: worst when nearly all has filled: 11 lots at 50 replace 1 at 100.
            "cheaper but larger",
            BUY,
            {"new_price_ticks": 50, "new_quantity_lots": 20},
            450 * 3 + 2,
        ),
        ("seller adds lots", SELL, {"new_quantity_lots": 12}, 20_000),
        ("seller's price is free", SELL, {"new_price_ticks": 1}, 0),
        ("seller removes lots", SELL, {"new_quantity_lots": 5}, 0),
        ("too late: already filled", BUY, {"new_price_ticks": 900, "filled_lots": 10}, 0),
    ],
)
def test_amend_extra(case, side, changes, extra_atoms):
    assert amend(side, **changes) == extra_atoms, case
