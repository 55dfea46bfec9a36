"""orders.recording.fold: from events to row changes, event by event."""

from typing import Any

import pytest

from exchange.domain.enums import OrderStatus
from matching.engine import codes
from matching.engine import messages as m
from matching.engine.journal import Sequenced
from orders.recording.changes import BatchChanges, OrderChange
from orders.recording.fold import batch_changes

SYMBOL = 1
OWN, OTHER, THIRD = 101, 102, 103
ACCOUNT = 7


def place(order_id: int = OWN, ticks: int = 100, lots: int = 5, **options: Any) -> m.Place:
    side = options.pop("side", m.BUY)
    return m.Place(order_id, 0, SYMBOL, order_id, ACCOUNT, side, ticks, lots, **options)


def accepted(order_id: int = OWN, ticks: int = 100, side: int = m.BUY) -> m.OrderAccepted:
    return m.OrderAccepted(order_id, ACCOUNT, side, ticks, 5)


def waiting(order_id: int = OWN, stop_ticks: int = 90) -> m.OrderWaiting:
    return m.OrderWaiting(order_id, ACCOUNT, m.BUY, stop_ticks)


def triggered(order_id: int = OWN, at_ticks: int = 90) -> m.OrderTriggered:
    return m.OrderTriggered(order_id, ACCOUNT, m.BUY, at_ticks)


def trade(maker: int = OTHER, taker: int = OWN, left: tuple[int, int] = (1, 1)) -> m.Trade:
    return m.Trade(maker, taker, 8, ACCOUNT, m.BUY, 100, 2, *left)


def cancelled(order_id: int = OWN, code: str = m.BY_USER, ticks: int = 100) -> m.OrderCancelled:
    return m.OrderCancelled(order_id, ACCOUNT, m.BUY, ticks, 5, code)


def amended(order_id: int = OWN, **changes: Any) -> m.OrderAmended:
    values: dict[str, Any] = {
        "old_price_ticks": 100,
        "old_left_lots": 5,
        "price_ticks": 100,
        "quantity_lots": 5,
        "left_lots": 5,
        "kept_priority": False,
        **changes,
    }
    return m.OrderAmended(order_id, ACCOUNT, m.BUY, **values)


def fold(
    command: m.Command, *events: m.Event, sequence: int = 9, state: int = m.OPEN
) -> BatchChanges:
    return batch_changes([Sequenced(sequence, command, list(events))], {SYMBOL: state})


def change(changes: BatchChanges, order_id: int = OWN) -> OrderChange:
    return changes.orders[order_id]


SOMEONES = m.Cancel(500, 0, SYMBOL, 999)  # any command that is not about the order


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([accepted()], "open"),
        ([accepted(), waiting()], "waiting"),
        ([accepted(), waiting(), triggered()], "open"),
        ([accepted(), waiting(), triggered(), trade(left=(0, 0))], "filled"),
        ([accepted(), trade()], "partially_filled"),
        ([accepted(), trade(left=(0, 0))], "filled"),
        ([accepted(), cancelled(code=m.IOC_REST)], "expired"),
        ([accepted(), waiting(), cancelled(code=codes.LIST_OTHER_TRADED)], "cancelled"),
        ([accepted(), amended(quantity_lots=3, left_lots=3)], "open"),
        ([accepted(), trade(), amended(quantity_lots=4, left_lots=2)], "partially_filled"),
        ([m.OrderRejected(OWN, ACCOUNT, codes.EXPIRED_AT_ENTRY)], "expired"),
        ([m.OrderRejected(OWN, ACCOUNT, m.FOK_UNFILLABLE)], "expired"),
        ([m.OrderRejected(OWN, ACCOUNT, codes.LIST_REFUSED)], "rejected"),
        ([m.OrderRejected(OWN, ACCOUNT, codes.SYMBOL_PRE_OPEN)], "rejected"),
    ],
)
def test_what_follows_its_acceptance_tells_where_an_order_stands(
    events: list[m.Event], status: str
) -> None:
    found = change(fold(place(), *events))
    assert found.status == OrderStatus(status)
    assert found.engine_seq == 9


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (m.BY_USER, "cancelled"),
        (m.BY_CANCEL_ALL, "cancelled"),
        (codes.BY_CANCEL_AFTER, "cancelled"),
        (m.SELF_TRADE, "cancelled"),
        (codes.LIST_OTHER_TRADED, "cancelled"),
        (codes.LIST_OTHER_ENDED, "cancelled"),
        (codes.EXPIRED, "expired"),
        (codes.BAND_REST, "expired"),
        (codes.SYMBOL_CLOSED, "expired"),
        (codes.SYMBOL_IN_AUCTION, "expired"),
        (codes.PRICE_OUTSIDE_BAND, "expired"),
        (m.MARKET_REST, "expired"),
        (m.POST_ONLY_WOULD_TAKE, "expired"),
        (m.BUDGET_SPENT, "expired"),
    ],
)
def test_an_end_by_will_is_a_cancel_and_every_other_an_expiry(code: str, status: str) -> None:
    found = change(fold(SOMEONES, cancelled(code=code)))
    assert (found.status, found.reason) == (OrderStatus(status), code)
    assert found.has_ended()


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (waiting(), OrderStatus.WAITING),
        (triggered(), OrderStatus.OPEN),
        (amended(), None),
        (amended(left_lots=3), OrderStatus.PARTIALLY_FILLED),
        (m.OrderRefreshed(OWN, ACCOUNT, 2, 4), None),
        (m.OrderRepriced(OWN, ACCOUNT, m.BUY, 12, 11, 5), None),
    ],
)
def test_of_an_older_order_no_more_is_known_than_its_event_says(
    event: m.Event, expected: OrderStatus | None
) -> None:
    found = change(fold(SOMEONES, event))
    assert (found.status, found.engine_seq, found.has_ended()) == (expected, 0, False)


def test_a_triggered_order_takes_its_place_with_the_row_and_keeps_what_triggered_it() -> None:
    found = change(fold(SOMEONES, triggered(at_ticks=91)))
    assert (found.priority_seq, found.reference_ticks, found.came_in) == (9, 91, True)


def test_an_order_that_was_moved_when_it_came_in_has_the_price_it_got() -> None:
    found = change(fold(SOMEONES, triggered(), m.OrderRepriced(OWN, ACCOUNT, m.BUY, 12, 11, 5)))
    assert (found.price_ticks, found.came_in) == (11, True)


def test_a_refreshed_iceberg_takes_a_new_place() -> None:
    found = change(fold(SOMEONES, m.OrderRefreshed(OWN, ACCOUNT, 2, 4)))
    assert (found.priority_seq, found.came_in) == (9, True)


@pytest.mark.parametrize(
    ("event", "terms"),
    [
        (amended(), (0, 5, None, 9)),
        (
            amended(price_ticks=101, stop_ticks=95, display_lots=2),
            (101, 5, {"stop_ticks": 95, "display_lots": 2}, 9),
        ),
        (amended(quantity_lots=4, left_lots=4, kept_priority=True), (0, 4, None, 0)),
    ],
)
def test_new_terms_are_written_and_what_is_as_it_was_is_not(
    event: m.OrderAmended, terms: tuple[int | dict[str, int] | None, ...]
) -> None:
    found = change(fold(SOMEONES, event))
    assert terms == (
        found.price_ticks,
        found.quantity_lots,
        found.terms,
        found.priority_seq,
    )


def test_a_later_amend_keeps_the_terms_of_an_earlier_one() -> None:
    found = change(fold(SOMEONES, amended(stop_ticks=95, display_lots=2), amended(stop_ticks=96)))
    assert found.terms == {"stop_ticks": 96, "display_lots": 2}


def test_a_price_that_the_engine_moved_is_written_and_frees_money() -> None:
    moved = fold(place(ticks=104, post_only=True), accepted(ticks=99))
    assert change(moved).price_ticks == 99
    assert moved.needs_settlement
    assert moved.levels == {SYMBOL: {(m.BUY, 99)}}
    as_asked = fold(place(ticks=99), accepted(ticks=99))
    assert change(as_asked).price_ticks == 0
    assert not as_asked.needs_settlement


def test_only_the_rows_own_taker_by_quote_amount_is_bounded_by_money() -> None:
    changes = fold(
        place(lots=0, market=True, time_in_force=m.IOC, budget_ticklots=900),
        accepted(),
        trade(maker=OTHER, taker=OWN, left=(0, 0)),
        triggered(THIRD),
        trade(maker=104, taker=THIRD, left=(3, 0)),
        cancelled(code=m.BUDGET_SPENT),
    )
    assert change(changes, THIRD).status is OrderStatus.FILLED
    assert change(changes, OWN).status is OrderStatus.FILLED
    assert change(changes, OWN).reason is None


@pytest.mark.parametrize(
    ("command", "events", "answers"),
    [
        (m.Expire(500, 0, SYMBOL), [m.CommandDone(500, SYMBOL)], {}),
        (m.Continue(500, 0, SYMBOL), [cancelled()], {}),
        (place(), [accepted()], {}),
        (m.RefuseFaulty(OWN, 0, SYMBOL, OWN, True), [m.OrderRejected(OWN, 0, "x")], {}),
        (m.CancelAfter(500, 0, SYMBOL, 7, 1), [m.CommandDone(500, SYMBOL)], {500: (9, None)}),
        (m.SetLimits(500, 0, SYMBOL, 7, 1, 1), [m.CommandDone(500, SYMBOL)], {500: (9, None)}),
        (m.Cancel(500, 0, SYMBOL, OWN), [cancelled()], {500: (9, None)}),
        (
            m.SetFeature(500, 0, SYMBOL, 99, True),
            [m.CommandRefused(500, 0, codes.FEATURE_UNKNOWN)],
            {500: (9, codes.FEATURE_UNKNOWN)},
        ),
    ],
)
def test_every_command_that_has_a_row_is_answered_and_no_other(
    command: m.Command, events: list[m.Event], answers: dict[int, Any]
) -> None:
    assert fold(command, *events).commands == answers


def test_a_list_is_answered_by_its_orders() -> None:
    orders = [place(OWN), place(OTHER, ticks=120, side=m.SELL)]
    command = m.PlaceList(100, 0, SYMBOL, 100, m.OTO, orders)
    changes = fold(
        command,
        m.ListAccepted(100, m.OTO, [OWN, OTHER]),
        accepted(OWN),
        accepted(OTHER, 120, m.SELL),
        waiting(OTHER, 0),
    )
    assert changes.commands == {}
    assert change(changes, OWN).status is OrderStatus.OPEN
    assert change(changes, OTHER).status is OrderStatus.WAITING
    assert changes.levels == {SYMBOL: {(m.BUY, 100)}}, "what waits is at no level"


def test_trades_outside_of_open_trading_are_an_auctions() -> None:
    command = m.SetState(500, 0, SYMBOL, m.OPEN)
    uncrossed = m.AuctionUncrossed(SYMBOL, 100, 2)
    changes = fold(command, trade(), uncrossed, m.StateChanged(SYMBOL, m.OPEN), state=m.AUCTION)
    assert changes.auctions == {SYMBOL}
    assert changes.uncrossed == {SYMBOL: uncrossed}
    assert changes.states == {SYMBOL: m.OPEN}
    assert fold(place(), accepted(), trade()).auctions == set()


def test_once_the_auction_is_over_trades_are_ordinary_ones() -> None:
    command = m.SetState(500, 0, SYMBOL, m.OPEN)
    opened = m.StateChanged(SYMBOL, m.OPEN)
    changes = fold(command, opened, triggered(), trade(), state=m.AUCTION)
    assert changes.auctions == set()


def test_prevented_matches_are_kept_with_their_place_in_the_sequence() -> None:
    match = m.SelfTradePrevented(OTHER, OWN, 7, 7, m.BUY, 100, 2, m.STP_CANCEL_BOTH)
    changes = fold(place(), accepted(), match, cancelled(OTHER, m.SELF_TRADE), cancelled())
    assert changes.prevented == [(SYMBOL, 9, match)]


@pytest.mark.parametrize(
    "event",
    [
        m.ListAccepted(1, m.OCO, [OWN, OTHER]),
        m.ContinueNeeded(SYMBOL),
        m.PhaseChanged(SYMBOL, m.PHASE_LIMIT, 5),
        m.ReferenceMoved(SYMBOL, 100),
    ],
)
def test_events_about_no_row_change_none(event: m.Event) -> None:
    changes = fold(m.Expire(500, 0, SYMBOL), event)
    assert (changes.orders, changes.commands, changes.levels) == ({}, {}, {})


def test_the_workers_own_commands_cannot_be_refused() -> None:
    with pytest.raises(AssertionError, match="not refused"):
        fold(m.Expire(500, 0, SYMBOL, OWN), m.CommandRefused(500, OWN, codes.NOT_DUE))


@pytest.mark.parametrize(
    "events",
    [
        [cancelled(), triggered()],
        [trade(left=(0, 0)), trade(left=(0, 0))],
        [trade(), waiting()],
        [cancelled(), cancelled()],
    ],
)
def test_o4_a_move_that_the_life_cycle_does_not_know_is_a_bug(events: list[m.Event]) -> None:
    with pytest.raises(AssertionError, match="->"):
        fold(SOMEONES, *events)
