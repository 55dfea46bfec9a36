"""wallets.fees for lists: an order brings in at least what its list counted on (L4, L5)."""

from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import SymbolUnits
from tests.property.test_fees_property import PPM, PRICE_TICKS, UNITS
from wallets.fees import (
    BUY,
    SELL,
    amend_extra_atoms,
    brings_min_atoms,
    fee_of_fill,
    reservation_atoms,
)
from wallets.fees import pool_atoms as pooled

LOTS = st.integers(1, 10**6)
# Fills of a sell: ticks above its limit, lots, and whether it was the taker.
FILLS = st.lists(st.tuples(st.integers(0, 10**9), LOTS, st.booleans()), min_size=1, max_size=12)


@given(PRICE_TICKS, FILLS, PPM, st.data(), UNITS)
def test_a_sale_brings_in_at_least_what_was_counted_on(
    limit_ticks: int,
    parts: list[tuple[int, int, bool]],
    taker_ppm: int,
    data: st.DataObject,
    units: SymbolUnits,
) -> None:
    maker_ppm = data.draw(st.integers(0, taker_ppm))
    lots = sum(part for _, part, _ in parts)
    promised = brings_min_atoms(SELL, lots, limit_ticks, units, taker_ppm)
    brought = accrued = 0
    for above_ticks, part, is_taker in parts:
        notional = (limit_ticks + above_ticks) * part * units.quote_atoms_per_ticklot
        fee, accrued = fee_of_fill(accrued, notional, taker_ppm if is_taker else maker_ppm)
        assert notional >= fee
        brought += notional - fee
    assert brought >= promised >= 0


@given(st.lists(LOTS, min_size=1, max_size=12), PRICE_TICKS, PPM, UNITS)
def test_a_purchase_brings_in_exactly_what_was_counted_on(
    parts: list[int], limit_ticks: int, taker_ppm: int, units: SymbolUnits
) -> None:
    promised = brings_min_atoms(BUY, sum(parts), limit_ticks, units, taker_ppm)
    assert promised == sum(part * units.base_atoms_per_lot for part in parts)


@given(
    st.sampled_from([BUY, SELL]),
    st.lists(st.tuples(LOTS, PRICE_TICKS), min_size=2, max_size=2),
    PPM,
    UNITS,
)
def test_a_pool_is_enough_for_either_order_and_no_more_than_one_needs(
    side: int, terms: list[tuple[int, int]], taker_ppm: int, units: SymbolUnits
) -> None:
    needs = [reservation_atoms(side, lots, ticks, units, 0, taker_ppm) for lots, ticks in terms]
    assert all(pooled(needs) >= need for need in needs)
    assert pooled(needs) in needs


@given(
    st.sampled_from([BUY, SELL]),
    st.tuples(LOTS, PRICE_TICKS),
    st.tuples(LOTS, PRICE_TICKS),
    st.tuples(LOTS, PRICE_TICKS),
    PPM,
    UNITS,
    st.data(),
)
def test_an_amends_extra_is_enough_for_its_pool_and_for_the_order_alone(
    side: int,
    own: tuple[int, int],
    new: tuple[int, int],
    other: tuple[int, int],
    taker_ppm: int,
    units: SymbolUnits,
    data: st.DataObject,
) -> None:
    """The pool dissolves with the first fill: then the order keeps only its own reservation."""

    def need(lots: int, ticks: int) -> int:
        return reservation_atoms(side, lots, ticks, units, 0, taker_ppm)

    extra = amend_extra_atoms(
        side,
        filled_lots=0,
        price_ticks=own[1],
        quantity_lots=own[0],
        new_price_ticks=new[1],
        new_quantity_lots=new[0],
        units=units,
        taker_fee_ppm=taker_ppm,
    )
    pool = pooled([need(*own), need(*other)])
    assert pool + extra >= pooled([need(*new), need(*other)])
    filled = data.draw(st.integers(0, min(own[0], new[0]) - 1))
    assert need(own[0] - filled, own[1]) + extra >= need(new[0] - filled, new[1])
