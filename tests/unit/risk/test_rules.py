"""risk.pretrade.rules: bands and protective prices, rounded into what they promise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.codes import Code
from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.domain.units import PPM
from risk.pretrade.rules import Top, band_check, band_ticks, open_orders_check, protective_ticks
from tests.unit.orders.test_validation import rules_make


@given(st.integers(1, 10**12), st.integers(0, 2 * PPM))
def test_band_holds_the_last_price_and_stays_inside_the_share(last: int, band: int) -> None:
    low, high = band_ticks(last, band)
    assert low <= last <= high
    assert (last - low) * PPM <= last * band
    assert (high - last) * PPM <= last * band


@pytest.mark.parametrize("side", Side)
def test_without_a_reference_and_a_last_price_there_is_no_band(side: Side) -> None:
    band_check(side, 1, rules_make(band_ppm=1), Top(0, 0, 0))


@pytest.mark.parametrize(
    ("side", "top", "bound"),
    [
        (Side.BUY, Top(0, 10_000, 0), 10_500),
        (Side.BUY, Top(0, 3, 0), 3),  # 3.15 rounds towards the best price
        (Side.SELL, Top(10_000, 0, 0), 9_500),
        (Side.SELL, Top(3, 0, 0), 3),  # 2.85 rounds towards the best price
        (Side.BUY, Top(0, 9_999_999, 0), 10_000_000),  # kept inside the static maximum
    ],
)
def test_protective_price(side: Side, top: Top, bound: int) -> None:
    assert protective_ticks(side, rules_make(), top) == bound


@pytest.mark.parametrize(("side", "top"), [(Side.BUY, Top(5, 0, 5)), (Side.SELL, Top(0, 5, 5))])
def test_an_empty_other_side_is_no_liquidity(side: Side, top: Top) -> None:
    with pytest.raises(DomainError) as refusal:
        protective_ticks(side, rules_make(), top)
    assert refusal.value.code is Code.ORDER_NO_LIQUIDITY


@pytest.mark.parametrize(("count", "limit", "refused"), [(9, 10, 0), (10, 10, 1), (99, 0, 0)])
def test_open_order_cap(count: int, limit: int, refused: int) -> None:
    if refused:
        with pytest.raises(DomainError):
            open_orders_check(count, limit, "BTC-USDT")
    else:
        open_orders_check(count, limit, "BTC-USDT")
