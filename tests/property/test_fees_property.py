"""wallets.fees: a reservation covers every way to fill, and fees sum to the rounded total."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import SymbolUnits
from wallets.fees import (
    BUY,
    SELL,
    amend_extra_atoms,
    fee_ceil,
    fee_of_fill,
    reservation_atoms,
    reservation_for_quote_amount,
)

UNITS = st.builds(
    SymbolUnits,
    symbol_id=st.just(1),
    code=st.just("AAA-BBB"),
    base_asset_id=st.just(1),
    quote_asset_id=st.just(2),
    base_scale=st.just(18),
    quote_scale=st.just(18),
    tick=st.just(Decimal(1)),
    lot=st.just(Decimal(1)),
    base_atoms_per_lot=st.integers(1, 10**18),
    quote_atoms_per_ticklot=st.integers(1, 10**12),
)
PPM = st.integers(0, 20_000)
PRICE_TICKS = st.integers(1, 10**9)


@st.composite
def fills(draw, *, lots_max=10**6):
    """An order's limit and lots, and fills of it: (price at or below the limit, lots, is_taker)."""
    limit_ticks = draw(PRICE_TICKS)
    parts = draw(
        st.lists(
            st.tuples(st.integers(1, limit_ticks), st.integers(1, lots_max), st.booleans()),
            min_size=1,
            max_size=12,
        )
    )
    rest_lots = draw(st.integers(0, lots_max))
    return limit_ticks, sum(lots for _, lots, _ in parts) + rest_lots, parts


@st.composite
def fee_rates(draw):
    taker_ppm = draw(PPM)
    return draw(st.integers(0, taker_ppm)), taker_ppm


@given(fills(), fee_rates(), UNITS)
def test_reservation_covers_every_fill_and_never_goes_below_zero(order, rates, units):
    limit_ticks, left_lots, parts = order
    maker_ppm, taker_ppm = rates
    accrued = paid_fees = exact_fee = 0
    reserved = reservation_atoms(BUY, left_lots, limit_ticks, units, accrued, taker_ppm)
    for price_ticks, lots, is_taker in parts:
        notional = price_ticks * lots * units.quote_atoms_per_ticklot
        ppm = taker_ppm if is_taker else maker_ppm
        fee, accrued = fee_of_fill(accrued, notional, ppm)
        left_lots -= lots
        required = reservation_atoms(BUY, left_lots, limit_ticks, units, accrued, taker_ppm)
        released = reserved - notional - fee - required
        assert fee >= 0
        assert released >= 0, "the reservation covers the fill and the rest"
        reserved = required
        paid_fees += fee
        exact_fee += notional * ppm
    assert paid_fees == fee_ceil(exact_fee), "rounded once over the order's life"
    if left_lots == 0:
        assert reserved == 0


@given(fills(), PPM)
def test_fee_never_exceeds_the_sellers_proceeds(order, ppm):
    accrued = 0
    for price_ticks, lots, _ in order[2]:
        fee, accrued = fee_of_fill(accrued, price_ticks * lots, ppm)
        assert 0 <= fee <= price_ticks * lots


@given(st.lists(st.integers(1, 10**24), min_size=1, max_size=12), st.integers(0, 10**24), PPM)
def test_quote_amount_reservation_covers_any_split(spent, unspent, taker_ppm):
    amount = sum(spent) + unspent
    reserved = reservation_for_quote_amount(amount, taker_fee_ppm=taker_ppm)
    accrued = 0
    for notional in spent:
        fee, accrued = fee_of_fill(accrued, notional, taker_ppm)
        reserved -= notional + fee
        assert reserved >= 0
    assert reserved >= unspent


@st.composite
def amends(draw):
    quantity = draw(st.integers(1, 1_000))
    new_quantity = draw(st.integers(1, 1_000))
    known = draw(st.integers(0, quantity - 1))
    return {
        "filled_lots": known,
        "price_ticks": draw(st.integers(1, 10**6)),
        "quantity_lots": quantity,
        "new_price_ticks": draw(st.integers(1, 10**6)),
        "new_quantity_lots": new_quantity,
    }


@given(
    st.sampled_from([BUY, SELL]),
    amends(),
    UNITS,
    PPM,
    st.integers(0, 10**30),
    st.data(),
)
def test_amend_extra_covers_fills_that_come_first(side, terms, units, taker_ppm, accrued, data):
    extra = amend_extra_atoms(side, **terms, units=units, taker_fee_ppm=taker_ppm)
    filled_max = min(terms["quantity_lots"], terms["new_quantity_lots"]) - 1
    assert extra >= 0
    if terms["filled_lots"] > filled_max:
        return
    filled = data.draw(st.integers(terms["filled_lots"], filled_max))
    old = reservation_atoms(
        side, terms["quantity_lots"] - filled, terms["price_ticks"], units, accrued, taker_ppm
    )
    new = reservation_atoms(
        side,
        terms["new_quantity_lots"] - filled,
        terms["new_price_ticks"],
        units,
        accrued,
        taker_ppm,
    )
    assert old + extra >= new
