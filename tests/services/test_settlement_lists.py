"""orders.settlement of linked orders: shared reservations, orders that another pays for (L3-L5)."""

from decimal import Decimal

import pytest

from matching.engine.messages import (
    BUY,
    HALT,
    OCO,
    OTO,
    OTOCO,
    SELL,
    STP_DECREMENT,
    TRIGGER_STOP,
    ListAccepted,
    OrderCancelled,
    OrderRejected,
    OrderTriggered,
    RefuseFaulty,
    SetState,
    Terms,
    Trade,
)
from matching.state.codec import decode_command
from orders.settlement import batch
from tests.factories.ledger_lists import Leg, assert_exact, list_place, need_of, reserved_by

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
FREE = (None, None, None)


def settle(rig):
    """Settle what there is; every invariant holds after it."""
    rig.commit()
    rig.settle()
    assert_exact(rig)


def links(rig, order_id):
    return rig.connection.execute(
        "SELECT pool_id, funded_by, left_lots FROM wallets_reservation WHERE order_id = %s",
        (order_id,),
    ).fetchone()


def stop(stop_ticks):
    return Terms(trigger=TRIGGER_STOP, stop_ticks=stop_ticks)


def trade_at(rig, price_ticks, lots=1):
    rig.place(rig.seller, SELL, price_ticks, lots)
    rig.place(rig.buyer, BUY, price_ticks, lots)


def count_of(rig, kind):
    return sum(type(event) is kind for row in rig.pending for event in row.events)


def bracket(rig, trader, lots=10_000, *, buy_ticks=10_000):
    """Buy, then a stop that sells more dearly or a limit: 1 BTC at 100, out at 90 or 120."""
    return list_place(
        rig,
        trader,
        OTOCO,
        [
            Leg(BUY, buy_ticks, lots),
            Leg(SELL, 12_000, lots),
            Leg(SELL, 8_900, lots, stop(9_000), market=True),
        ],
    )


# --- pairs


def test_pair_reserves_once_and_the_first_trade_leaves_what_the_trader_requires(rig):
    trader = rig.trader(quote="1000")
    limit, triggered = list_place(
        rig, trader, OCO, [Leg(BUY, 9_000, 10_000), Leg(BUY, 11_000, 10_000, stop(11_000))]
    )
    settle(rig)
    assert reserved_by(rig, limit, triggered) == need_of(rig, BUY, 11_000, 10_000)
    rig.place(rig.seller, SELL, 9_000, 4_000)
    assert count_of(rig, OrderCancelled) == 1  # a part of a fill ends the other one
    settle(rig)
    assert rig.reservation(triggered) is None
    assert links(rig, limit) == FREE
    assert rig.balance(trader, rig.quote_id)[0] == D(1000) - D("36.018") - D("54.054")


def test_pair_whose_trigger_is_reached_pays_from_what_stands_on_the_other_row(rig):
    trader = rig.trader(quote="110.11")
    limit, triggered = list_place(
        rig, trader, OCO, [Leg(BUY, 9_000, 10_000), Leg(BUY, 11_000, 10_000, stop(11_000))]
    )
    settle(rig)
    assert rig.reservation(triggered) == 0
    trade_at(rig, 11_000)
    rig.place(rig.seller, SELL, 11_000, 10_000)
    assert count_of(rig, OrderTriggered) == 1
    settle(rig)
    assert (rig.reservation(limit), rig.reservation(triggered)) == (None, None)
    # The triggered one rested and was the maker: the part reserved for the taker's rate is free.
    assert rig.balance(trader, rig.quote_id) == (D("0.055"), 0)


def test_cancel_of_one_of_a_pair_releases_all(rig):
    trader = rig.trader(base="1")
    pair = list_place(
        rig, trader, OCO, [Leg(SELL, 12_000, 9_000), Leg(SELL, 9_000, 9_500, stop(9_000))]
    )
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (D("0.05"), D("0.95"))
    rig.cancel(pair[0])
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (D(1), 0)


def test_amend_of_one_of_a_pair_moves_the_larger_need(rig):
    trader = rig.trader(base="2")
    limit, triggered = list_place(
        rig, trader, OCO, [Leg(SELL, 12_000, 9_000), Leg(SELL, 9_000, 10_000, stop(9_000))]
    )
    settle(rig)
    assert rig.amend(limit, lots=9_500)  # less than the other one needs
    assert reserved_by(rig, limit, triggered) == D("1.05")
    settle(rig)
    assert reserved_by(rig, limit, triggered) == D(1)
    assert rig.amend(triggered, lots=15_000)
    settle(rig)
    assert reserved_by(rig, limit, triggered) == D("1.5")
    assert rig.amend(triggered, lots=1_000)
    settle(rig)
    assert reserved_by(rig, limit, triggered) == D("0.95")
    assert rig.amend(limit, lots=9_600, keep_priority=True)  # not a reduction: refused
    settle(rig)
    assert reserved_by(rig, limit, triggered) == D("0.95")


def test_amend_on_its_way_keeps_its_funds_when_its_order_takes_over_the_pool(rig):
    trader = rig.trader(quote="220.22")
    limit, triggered = list_place(
        rig, trader, OCO, [Leg(BUY, 9_000, 10_000), Leg(BUY, 11_000, 10_000, stop(11_000))]
    )
    settle(rig)
    assert rig.amend(limit, price_ticks=11_500, sequence=False)
    rig.place(rig.seller, SELL, 9_000, 4_000)
    rig.commit()
    rig.settle()
    assert rig.reservation(triggered) is None
    assert rig.reservation(limit) == D("110.11") + D("25.025") - D("36.018")
    payload = rig.connection.execute("SELECT payload FROM orders_command").fetchone()[0]
    rig.apply(decode_command(payload))
    settle(rig)
    # 0.6 at 115; the fee that 0.4 accrued as a maker left no fraction.
    assert rig.reservation(limit) == D("69.069")
    assert links(rig, limit) == FREE


def test_decrement_of_one_of_a_pair_leaves_the_larger_need(rig):
    trader = rig.trader(base="1", quote="1000")
    limit, triggered = list_place(
        rig, trader, OCO, [Leg(BUY, 10_000, 10_000), Leg(BUY, 10_100, 7_000, stop(11_000))]
    )
    rig.place(trader, SELL, 10_000, 4_000, self_trade=STP_DECREMENT)
    settle(rig)
    assert reserved_by(rig, limit, triggered) == need_of(rig, BUY, 10_100, 7_000)
    assert links(rig, limit)[2] == 6_000


# --- orders that another one pays for


def test_each_fill_of_the_first_order_pays_into_the_second(rig):
    trader = rig.trader(quote="1000")
    parent, child = list_place(
        rig, trader, OTO, [Leg(BUY, 10_000, 10_000), Leg(SELL, 12_000, 8_000)]
    )
    settle(rig)
    assert rig.reservation(child) == 0
    rig.place(rig.seller, SELL, 10_000, 5_000)
    settle(rig)
    assert rig.reservation(child) == D("0.5")
    assert rig.balance(trader, rig.base_id) == (0, D("0.5"))
    rig.place(rig.seller, SELL, 10_000, 5_000)
    settle(rig)
    assert rig.reservation(child) == D("0.8")
    assert rig.balance(trader, rig.base_id) == (D("0.2"), D("0.8"))
    assert links(rig, child) == FREE
    assert rig.reservation(parent) is None
    rig.place(rig.buyer, BUY, 12_000, 8_000)
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (D("0.2"), 0)


def test_what_was_paid_in_is_free_when_the_first_order_ends_in_part(rig):
    trader = rig.trader(quote="1000")
    parent, child = list_place(
        rig, trader, OTO, [Leg(BUY, 10_000, 10_000), Leg(SELL, 12_000, 8_000)]
    )
    rig.place(rig.seller, SELL, 10_000, 5_000)
    rig.cancel(parent)
    settle(rig)
    assert rig.reservation(child) is None
    assert rig.balance(trader, rig.base_id) == (D("0.5"), 0)


def test_sale_pays_into_a_buy_net_of_its_fee(rig):
    trader = rig.trader(base="1")
    lots = 10_000
    parent, child = list_place(
        rig, trader, OTO, [Leg(SELL, 10_000, lots), Leg(BUY, 9_900, lots, stop(9_950))]
    )
    rig.place(rig.buyer, BUY, 10_000, 4_000)
    settle(rig)
    assert rig.reservation(child) == D("39.98")  # 40 less a maker's 0.05 %
    rig.place(rig.buyer, BUY, 10_000, 6_000)
    settle(rig)
    assert rig.reservation(parent) is None
    assert rig.reservation(child) == need_of(rig, BUY, 9_900, lots)
    assert rig.balance(trader, rig.quote_id)[0] == D("99.95") - D("99.099")


def test_pair_that_waits_is_paid_up_to_the_larger_need(rig):
    trader = rig.trader(quote="1000")
    _, take, loss = list_place(
        rig,
        trader,
        OTOCO,
        [
            Leg(BUY, 10_000, 10_000),
            Leg(SELL, 12_000, 6_000),
            Leg(SELL, 8_900, 8_000, stop(9_000), market=True),
        ],
    )
    rig.place(rig.seller, SELL, 10_000, 7_000)
    settle(rig)
    assert reserved_by(rig, take, loss) == D("0.7")
    rig.place(rig.seller, SELL, 10_000, 3_000)
    settle(rig)
    assert reserved_by(rig, take, loss) == D("0.8")
    rig.place(rig.buyer, BUY, 12_000, 1_000)
    settle(rig)
    assert (rig.reservation(take), rig.reservation(loss)) == (D("0.5"), None)
    assert rig.balance(trader, rig.base_id) == (D("0.4"), D("0.5"))


def test_pair_that_waits_goes_on_alone_when_one_of_it_is_cancelled(rig):
    trader = rig.trader(quote="1000")
    _, take, loss = list_place(
        rig,
        trader,
        OTOCO,
        [Leg(BUY, 10_000, 10_000), Leg(SELL, 12_000, 4_000), Leg(SELL, 9_000, 8_000, stop(9_000))],
    )
    rig.place(rig.seller, SELL, 10_000, 6_000)
    settle(rig)
    rig.cancel(loss)
    settle(rig)
    assert (rig.reservation(take), rig.reservation(loss)) == (D("0.4"), None)
    assert rig.balance(trader, rig.base_id) == (D("0.2"), D("0.4"))
    rig.place(rig.seller, SELL, 10_000, 4_000)
    settle(rig)
    assert rig.reservation(take) == D("0.4")
    assert links(rig, take) == FREE


def test_orders_that_pay_with_the_same_asset_reserve_from_the_start(rig):
    trader = rig.trader(base="3")
    parent, take, loss = list_place(
        rig,
        trader,
        OTOCO,
        [Leg(SELL, 10_000, 5_000), Leg(SELL, 12_000, 6_000), Leg(SELL, 9_000, 8_000, stop(9_000))],
    )
    settle(rig)
    assert reserved_by(rig, parent, take, loss) == D("1.3")
    rig.place(rig.buyer, BUY, 10_000, 5_000)
    settle(rig)
    assert reserved_by(rig, take, loss) == D("0.8")
    assert rig.balance(trader, rig.base_id) == (D("1.7"), D("0.8"))


# --- all of it in one batch, or in many


def test_list_that_is_entered_filled_released_traded_and_ended_in_one_batch(rig):
    trader = rig.trader(quote="100.1")
    rig.place(rig.seller, SELL, 10_000, 10_000)
    rig.place(rig.buyer, BUY, 8_900, 4_000)
    orders = bracket(rig, trader)
    trade_at(rig, 9_000)
    assert count_of(rig, ListAccepted) == 1
    assert count_of(rig, Trade) == 3
    rig.commit()
    assert rig.settle() == 1
    assert_exact(rig)
    assert [rig.reservation(order) for order in orders] == [None] * 3
    assert rig.balance(trader, rig.base_id) == (D("0.6"), 0)
    assert rig.balance(trader, rig.quote_id) == (D("35.6") - D("0.0356"), 0)


def test_list_settles_the_same_step_by_step(rig, monkeypatch):
    monkeypatch.setattr(batch, "EVENTS_PER_SETTLEMENT", 1)
    trader = rig.trader(quote="100.1")
    rig.place(rig.seller, SELL, 10_000, 10_000)
    rig.place(rig.buyer, BUY, 8_900, 4_000)
    settle(rig)
    orders = bracket(rig, trader)
    settle(rig)
    assert reserved_by(rig, *orders) == D(1)
    trade_at(rig, 9_000)
    settle(rig)
    assert [rig.reservation(order) for order in orders] == [None] * 3
    assert rig.balance(trader, rig.base_id) == (D("0.6"), 0)
    assert rig.balance(trader, rig.quote_id) == (D("35.6") - D("0.0356"), 0)


# --- refused, or wrong


def test_refused_list_releases_all(rig):
    trader = rig.trader(base="1", quote="100.1")
    rig.apply(SetState(rig.ids.next_id(), 0, rig.symbol.pk, HALT))
    bracket(rig, trader)
    list_place(rig, trader, OCO, [Leg(SELL, 12_000, 9_000), Leg(SELL, 9_000, 10_000, stop(9_000))])
    assert count_of(rig, OrderRejected) == 5
    settle(rig)
    assert rig.balance(trader, rig.quote_id) == (D("100.1"), 0)
    assert rig.balance(trader, rig.base_id) == (D(1), 0)


def test_list_at_which_the_engine_failed_is_released_order_by_order(rig, monkeypatch):
    trader = rig.trader(quote="300")
    monkeypatch.setattr(rig, "apply", lambda _command: None)
    orders = bracket(rig, trader)
    pair = list_place(
        rig, trader, OCO, [Leg(BUY, 9_000, 10_000), Leg(BUY, 11_000, 10_000, stop(11_000))]
    )
    monkeypatch.undo()
    for order_id in (*orders, *pair):
        rig.apply(RefuseFaulty(order_id, 0, rig.symbol.pk, order_id, True))
        rig.commit()
        rig.settle()
    assert_exact(rig)
    assert rig.balance(trader, rig.quote_id) == (D(300), 0)


def test_first_order_that_brings_in_too_little_is_a_crash(rig):
    trader = rig.trader(quote="1000")
    _, child = list_place(rig, trader, OTO, [Leg(BUY, 10_000, 5_000), Leg(SELL, 12_000, 5_000)])
    rig.connection.execute(
        "UPDATE wallets_reservation SET left_lots = 6000 WHERE order_id = %s", (child,)
    )
    rig.place(rig.seller, SELL, 10_000, 5_000)
    rig.commit()
    before = rig.balance(trader, rig.quote_id)
    with pytest.raises(AssertionError, match="brought in"):
        rig.settle()
    assert rig.balance(trader, rig.quote_id) == before


def test_order_that_trades_before_it_was_paid_for_is_a_crash(rig):
    trader = rig.trader(quote="1000")
    _, child = list_place(rig, trader, OTO, [Leg(BUY, 10_000, 5_000), Leg(SELL, 12_000, 5_000)])
    settle(rig)
    rig.place(rig.seller, SELL, 10_000, 5_000)
    rig.place(rig.buyer, BUY, 12_000, 5_000)
    rig.connection.execute(
        "UPDATE wallets_reservation SET funded_by = 77 WHERE order_id = %s", (child,)
    )
    rig.commit()
    with pytest.raises(AssertionError, match="before it was paid for"):
        rig.settle()
