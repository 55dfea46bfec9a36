"""Faults that the oracle found in the engine, each as the shortest history that shows it.

Each history is played to engine and oracle, which must agree event by event; then what a trader
would look at is asserted by itself, so that the two cannot be wrong together.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.pair import Beside

SYMBOL = 1
E = TypeVar("E")


class Tape:
    """A short history, and all that was told of it."""

    def __init__(self) -> None:
        self.pair = Beside()
        self.now_ms = 1_000
        self.told: list[m.Event] = []
        self.number = 1_000
        self.feature(m.FEATURE_REPORT_PREVENTED)  # the symbol follows prices from here on

    def do(self, command: m.Command) -> list[m.Event]:
        told = self.pair.apply(command)
        self.told += told
        return told

    def next(self) -> int:
        self.number += 1
        return self.number

    def order(
        self, number: int, account: int, side: int, quantity: int, price: int, **more: Any
    ) -> m.Place:
        return m.Place(number, self.now_ms, SYMBOL, number, account, side, price, quantity, **more)

    def buy(
        self, number: int, account: int, quantity: int, price: int, **more: Any
    ) -> list[m.Event]:
        return self.do(self.order(number, account, m.BUY, quantity, price, **more))

    def sell(
        self, number: int, account: int, quantity: int, price: int, **more: Any
    ) -> list[m.Event]:
        return self.do(self.order(number, account, m.SELL, quantity, price, **more))

    def last(self, price: int) -> None:
        """Two strangers trade one lot."""
        self.buy(self.next(), 9_001, 1, price)
        self.sell(self.next(), 9_002, 1, price)

    def linked(self, kind: int, *orders: m.Place) -> list[m.Event]:
        number = self.next()
        return self.do(m.PlaceList(number, self.now_ms, SYMBOL, number, kind, list(orders)))

    def cancel(self, number: int) -> list[m.Event]:
        return self.do(m.Cancel(self.next(), self.now_ms, SYMBOL, number))

    def amend(self, number: int, price: int, **more: Any) -> list[m.Event]:
        return self.do(m.Amend(self.next(), self.now_ms, SYMBOL, number, price, **more))

    def state(self, state: int) -> list[m.Event]:
        return self.do(m.SetState(self.next(), self.now_ms, SYMBOL, state))

    def band(self, ppm: int, reference: int = 0, **more: Any) -> list[m.Event]:
        return self.do(m.SetBand(self.next(), self.now_ms, SYMBOL, ppm, reference, **more))

    def feature(self, feature: int) -> list[m.Event]:
        return self.do(m.SetFeature(self.next(), self.now_ms, SYMBOL, feature, is_on=True))

    def limits(self, account: int, orders: int, stops: int) -> list[m.Event]:
        return self.do(m.SetLimits(self.next(), self.now_ms, SYMBOL, account, orders, stops))


MARKET: dict[str, Any] = {"market": True, "time_in_force": m.IOC}


def stop(price: int, **more: Any) -> m.Terms:
    return m.Terms(trigger=m.TRIGGER_STOP, stop_ticks=price, **more)


def of(kind: type[E], events: Iterable[m.Event]) -> list[E]:
    return [event for event in events if type(event) is kind]


def trades(events: Iterable[m.Event]) -> list[tuple[int, int, int, int]]:
    """Return maker, taker, quantity and price of each trade."""
    return [
        (one.maker_order_id, one.taker_order_id, one.quantity_lots, one.price_ticks)
        for one in of(m.Trade, events)
    ]


def test_19_9_a_released_stop_is_not_triggered_by_a_price_from_before_its_release() -> None:
    tape = Tape()
    tape.last(480)
    tape.sell(1, 1, 1, 500)
    tape.buy(2, 2, 1, 479)
    told = tape.linked(
        m.OTOCO,
        tape.order(3, 3, m.BUY, 1, 500),
        tape.order(4, 3, m.SELL, 1, 520),
        tape.order(5, 3, m.SELL, 1, 450, terms=stop(490), **MARKET),
    )
    assert trades(told) == [(1, 3, 1, 500)]
    assert [one.order_id for one in of(m.OrderTriggered, told)] == [4]
    assert of(m.OrderCancelled, told) == []


def test_19_9_a_released_trailing_stop_begins_at_the_fill_that_released_it() -> None:
    tape = Tape()
    tape.buy(1, 1, 1, 105)
    tape.buy(2, 2, 1, 100)
    tape.linked(
        m.OTO,
        tape.order(3, 3, m.BUY, 2, 90),
        tape.order(
            4, 3, m.SELL, 2, 1, terms=m.Terms(trigger=m.TRIGGER_TRAILING, trail_ticks=5), **MARKET
        ),
    )
    told = tape.sell(5, 4, 4, 90)
    assert [price for *_, price in trades(told)] == [105, 100, 90]
    assert [one.stop_ticks for one in of(m.OrderWaiting, told)] == [85]
    assert of(m.OrderTriggered, told) == []


def test_21_8_nobody_moves_an_auction_with_orders_of_their_own() -> None:
    tape = Tape()
    tape.state(m.AUCTION)
    tape.buy(1, 1, 10, 110)
    tape.sell(2, 1, 10, 100)
    tape.sell(3, 3, 5, 105)
    told = tape.state(m.OPEN)
    assert trades(told) == [(1, 3, 5, 105)]
    assert [(one.price_ticks, one.quantity_lots) for one in of(m.AuctionUncrossed, told)] == [
        (105, 5)
    ]


def test_21_8_last_price_and_band_follow_what_traded_in_the_auction() -> None:
    tape = Tape()
    tape.band(100_000, 100)
    tape.buy(5, 5, 1, 103, terms=stop(103))
    tape.sell(6, 6, 1, 100, terms=stop(100))
    tape.state(m.AUCTION)
    tape.buy(1, 1, 10, 110)
    tape.sell(2, 2, 4, 100)
    tape.sell(3, 1, 6, 100)
    tape.sell(4, 1, 3, 105)
    told = tape.state(m.OPEN)
    assert trades(told)[0] == (1, 2, 4, 100)
    assert [(one.price_ticks, one.quantity_lots) for one in of(m.AuctionUncrossed, told)] == [
        (100, 4)
    ]
    assert of(m.ReferenceMoved, told)[0].reference_ticks == 100
    assert of(m.OrderTriggered, told)[0].order_id == 6


@pytest.mark.parametrize(
    ("way", "code"),
    [
        (m.HALT, m.SYMBOL_HALTED),
        (m.PRE_OPEN, codes.SYMBOL_PRE_OPEN),
        (m.CANCEL_ONLY, codes.SYMBOL_CANCEL_ONLY),
    ],
)
def test_20_10_no_market_order_outlives_its_auction(way: int, code: str) -> None:
    tape = Tape()
    tape.last(3_000)
    tape.state(m.AUCTION)
    tape.sell(1, 1, 5, 3_000)
    tape.buy(2, 2, 5, 3_255, **MARKET)
    tape.cancel(1)
    told = tape.state(way)
    assert [(one.order_id, one.code) for one in of(m.OrderCancelled, told)] == [(2, code)]
    tape.state(m.OPEN)
    assert trades(tape.sell(3, 3, 1, 3_000)) == []


def test_21_9_the_older_order_is_the_maker_whatever_the_places_of_its_parts() -> None:
    tape = Tape()
    tape.state(m.AUCTION)
    tape.sell(1, 1, 100, 100, terms=m.Terms(display_lots=10))
    tape.buy(3, 3, 30, 102)
    told = tape.state(m.OPEN)
    assert [(maker, taker, lots) for maker, taker, lots, _ in trades(told)] == [(1, 3, 10)] * 3


def test_22_9_a_buy_left_above_the_band_by_an_auction_trades_at_the_edge() -> None:
    tape = Tape()
    tape.band(100_000, 100)
    tape.state(m.AUCTION)
    tape.buy(1, 1, 5, 200)
    tape.state(m.OPEN)
    assert [price for *_, price in trades(tape.sell(2, 2, 1, 95))] == [110]
    told = tape.sell(3, 3, 1, 111)
    assert [one.code for one in of(m.OrderRejected, told)] == [codes.PRICE_OUTSIDE_BAND]


def test_22_9_a_market_order_never_trades_outside_the_band() -> None:
    tape = Tape()
    tape.buy(1, 1, 1, 99)
    tape.band(100_000, 50)
    assert [price for *_, price in trades(tape.sell(2, 2, 1, 10, **MARKET))] == [55]
    tape.buy(3, 3, 1, 55)
    told = tape.sell(4, 4, 2, 56, **MARKET)
    assert trades(told) == []


def test_22_9_an_amend_meets_what_stands_beyond_the_band_at_its_edge() -> None:
    tape = Tape()
    tape.band(100_000, 100)
    tape.state(m.AUCTION)
    tape.buy(1, 1, 5, 200)
    tape.sell(2, 2, 1, 300)
    tape.state(m.OPEN)
    told = tape.amend(2, 111)
    assert [one.code for one in of(m.CommandRefused, told)] == [codes.PRICE_OUTSIDE_BAND]
    assert trades(tape.amend(2, 95)) == [(1, 2, 1, 110)]


def test_17_3_a_decremented_market_order_keeps_its_bound() -> None:
    tape = Tape()
    tape.band(20_000, 100)
    tape.sell(1, 1, 2, 100)
    told = tape.buy(2, 1, 5, 140, self_trade=m.STP_DECREMENT, **MARKET)
    assert [one.price_ticks for one in of(m.OrderAmended, told)] == [140]


def test_14_9_a_market_order_that_waits_for_its_auction_is_no_iceberg() -> None:
    tape = Tape()
    tape.state(m.AUCTION)
    tape.buy(1, 1, 12, 106, **MARKET)
    told = tape.amend(1, 0, display_lots=1)
    assert [one.code for one in of(m.CommandRefused, told)] == [codes.AMEND_NO_DISPLAY]


def test_16_4_a_reprice_that_is_refused_ends_at_the_price_it_had() -> None:
    tape = Tape()
    terms = m.Terms(trigger=m.TRIGGER_TAKE, stop_ticks=95, reprice=True)
    tape.band(25_000, 80)
    tape.sell(1, 1, 5, 103)
    tape.buy(2, 2, 6, 106, post_only=True, terms=terms)
    tape.buy(3, 3, 1, 80)
    told = tape.sell(4, 4, 1, 80)
    assert [(one.order_id, one.price_ticks, one.code) for one in of(m.OrderCancelled, told)] == [
        (2, 106, codes.PRICE_OUTSIDE_BAND)
    ]


@pytest.mark.parametrize("is_limit_first", [True, False])
def test_23_5_whether_a_list_is_taken_does_not_depend_on_the_order_of_its_legs(
    is_limit_first: bool,
) -> None:
    tape = Tape()
    tape.limits(m.ALL_ACCOUNTS, 10, 1)
    legs = [
        tape.order(1, 1, m.SELL, 5, 120),
        tape.order(2, 1, m.SELL, 5, 80, terms=stop(90), **MARKET),
    ]
    told = tape.linked(m.OCO, *(legs if is_limit_first else legs[::-1]))
    assert of(m.OrderRejected, told) == []
    told = tape.sell(3, 1, 5, 80, terms=stop(90), **MARKET)
    assert [one.code for one in of(m.OrderRejected, told)] == [codes.STOP_ORDERS_MAX]


def test_22_10_a_band_without_interruption_ends_a_limit_state() -> None:
    tape = Tape()
    tape.band(100_000, 100, limit_ms=5_000, pause_ms=5_000, call_ms=5_000)
    told = tape.buy(1, 1, 1, 110)
    assert [one.phase for one in of(m.PhaseChanged, told)] == [m.PHASE_LIMIT]
    told = tape.band(100_000)
    assert [one.phase for one in of(m.PhaseChanged, told)] == [m.PHASE_NONE]


def test_17_9_an_amount_that_prevention_took_ends_like_a_quantity() -> None:
    tape = Tape()
    tape.sell(1, 1, 10, 100)
    told = tape.buy(2, 1, 0, 110, budget_ticklots=550, self_trade=m.STP_DECREMENT, **MARKET)
    assert [(one.order_id, one.code) for one in of(m.OrderCancelled, told)] == [(2, m.SELF_TRADE)]
