"""Protective prices: where they stand by default, and what an order must be worth there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, SymbolState, TimeInForce
from exchange.domain.errors import DomainError
from exchange.domain.units import PPM
from matching.engine.messages import Terms
from risk.pretrade.drafts import OrderDraft
from risk.pretrade.rules import Top, band_check, is_banded, needs_top, slipped_ticks, start_ticks
from tests.unit.orders.test_validation import rules_make

TOP = Top(bid_ticks=9_900, ask_ticks=10_100, last_ticks=10_000)


def draft_make(kind: OrderType, side: Side, **terms: Any) -> OrderDraft:
    return OrderDraft(
        symbol_id=1,
        side=side,
        type=kind,
        time_in_force=TimeInForce.GTC,
        post_only=False,
        price_ticks=0,
        quantity_lots=1_000,
        quote_atoms=0,
        client_order_id="a",
        self_trade=SelfTradePrevention.CANCEL_INCOMING,
        terms=Terms(**terms) if terms else None,
    )


@pytest.mark.parametrize(
    ("kind", "side", "terms", "start"),
    [
        (OrderType.MARKET, Side.BUY, {}, 10_100),
        (OrderType.MARKET, Side.SELL, {}, 9_900),
        (OrderType.STOP_MARKET, Side.SELL, {"stop_ticks": 9_000}, 9_000),
        (OrderType.TAKE_PROFIT, Side.BUY, {"stop_ticks": 9_000}, 9_000),
        (OrderType.TRAILING_STOP, Side.SELL, {"trail_ticks": 500}, 9_500),
        (OrderType.TRAILING_STOP, Side.BUY, {"trail_ticks": 500}, 10_500),
        (OrderType.TRAILING_STOP, Side.SELL, {"trail_ppm": 20_000}, 9_800),
        (OrderType.TRAILING_STOP, Side.BUY, {"trail_ppm": 1}, 10_001),  # one tick at least
        (
            OrderType.TRAILING_STOP,
            Side.SELL,
            {"trail_ticks": 500, "activation_ticks": 12_000},
            11_500,
        ),
        (OrderType.TRAILING_STOP, Side.SELL, {"trail_ticks": 10_000}, 1),
    ],
)
def test_a_bound_counts_from_the_price_at_which_the_order_begins_to_trade(
    kind: OrderType, side: Side, terms: dict[str, int], start: int
) -> None:
    assert start_ticks(draft_make(kind, side, **terms), TOP) == start


def test_without_prices_only_a_stop_and_an_activation_price_tell_where_it_begins() -> None:
    nothing = Top(0, 0, 0)
    trailing = OrderType.TRAILING_STOP
    assert start_ticks(draft_make(OrderType.MARKET, Side.BUY), nothing) == 0
    assert start_ticks(draft_make(trailing, Side.BUY, trail_ticks=5), nothing) == 0
    active = draft_make(trailing, Side.BUY, trail_ticks=5, activation_ticks=100)
    assert start_ticks(active, nothing) == 105
    assert start_ticks(draft_make(OrderType.STOP_MARKET, Side.BUY, stop_ticks=7), nothing) == 7


@given(st.sampled_from(Side), st.integers(1, 9_000_000))
def test_a_bound_is_within_the_slippage_and_never_on_the_better_side(
    side: Side, from_ticks: int
) -> None:
    rules = rules_make()
    bound = slipped_ticks(side, from_ticks, rules)
    assert rules.price_ticks_min <= bound <= rules.price_ticks_max
    worse = bound - from_ticks if side is Side.BUY else from_ticks - bound
    assert 0 <= worse * PPM <= from_ticks * rules.slippage_ppm


@pytest.mark.parametrize(
    ("side", "price_ticks", "refused"),
    [
        (Side.BUY, 11_000, False),
        (Side.BUY, 11_001, True),
        (Side.BUY, 1, False),  # rule 22.1: its other side is free
        (Side.SELL, 9_000, False),
        (Side.SELL, 8_999, True),
        (Side.SELL, 99_999, False),
    ],
)
def test_the_band_bounds_the_worse_side_of_a_limit(
    side: Side, price_ticks: int, refused: bool
) -> None:
    rules = rules_make(band_ppm=100_000)
    for top in (Top(0, 0, 10_000), Top(0, 0, 50_000, 10_000)):  # the reference goes before the last
        if not refused:
            band_check(side, price_ticks, rules, top)
            continue
        with pytest.raises(DomainError) as refusal:
            band_check(side, price_ticks, rules, top)
        assert refusal.value.params == {"minimum": "90", "maximum": "110"}


@pytest.mark.parametrize("state", SymbolState)
def test_a_band_bounds_only_what_meets_the_book_at_once(state: SymbolState) -> None:
    meets = state in {SymbolState.OPEN, SymbolState.POST_ONLY}
    rules = rules_make(state=state, band_ppm=1)
    assert is_banded(rules) is meets
    assert needs_top(draft_make(OrderType.LIMIT, Side.BUY), rules, is_pending=False) is meets
    assert not needs_top(draft_make(OrderType.LIMIT, Side.BUY), rules, is_pending=True)
    assert not is_banded(rules_make(state=state))


@pytest.mark.parametrize(
    ("kind", "terms", "asks"),
    [
        (OrderType.LIMIT, {}, False),
        (OrderType.MARKET, {}, True),
        (OrderType.STOP_MARKET, {"stop_ticks": 5}, False),
        (OrderType.STOP_LIMIT, {"stop_ticks": 5}, False),
        (OrderType.TRAILING_STOP, {"trail_ticks": 5}, True),
        (OrderType.TRAILING_STOP, {"trail_ticks": 5, "activation_ticks": 5}, False),
    ],
)
def test_prices_are_asked_for_only_where_a_rule_needs_them(
    kind: OrderType, terms: dict[str, int], asks: bool
) -> None:
    draft = draft_make(kind, Side.BUY, **terms)
    assert needs_top(draft, rules_make(), is_pending=False) is asks


@pytest.mark.parametrize(("side", "price_ticks"), [(Side.BUY, 89), (Side.SELL, 111)])
def test_a_band_binds_the_far_side_where_the_symbol_says_so(side: Side, price_ticks: int) -> None:
    """22.1."""
    top = Top(0, 0, 100, 100)
    band_check(side, price_ticks, rules_make(band_ppm=100_000), top)
    with pytest.raises(DomainError) as refusal:
        band_check(side, price_ticks, rules_make(band_ppm=100_000, band_both_sides=True), top)
    assert refusal.value.code == "order.price_outside_band"
