"""risk.pretrade.rules: bands and protective prices, rounded into what they promise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.enums import Side
from exchange.domain.errors import DomainError
from exchange.domain.units import PPM
from risk.pretrade.rules import Top, band_check, band_ticks, open_orders_check, slipped_ticks
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
    ("side", "from_ticks", "bound"),
    [
        (Side.BUY, 10_000, 10_500),
        (Side.BUY, 3, 3),  # 3.15 rounds towards the best price
        (Side.SELL, 10_000, 9_500),
        (Side.SELL, 3, 3),  # 2.85 rounds towards the best price
        (Side.BUY, 9_999_999, 10_000_000),  # kept inside the static maximum
    ],
)
def test_protective_price(side: Side, from_ticks: int, bound: int) -> None:
    assert slipped_ticks(side, from_ticks, rules_make()) == bound


@pytest.mark.parametrize(("count", "limit", "refused"), [(9, 10, 0), (10, 10, 1), (99, 0, 0)])
def test_open_order_cap(count: int, limit: int, refused: int) -> None:
    if refused:
        with pytest.raises(DomainError):
            open_orders_check(count, limit, "BTC-USDT")
    else:
        open_orders_check(count, limit, "BTC-USDT")
