"""orders.settlement of every order type: what it reserves from acceptance to end (L3 to L5)."""

from decimal import Decimal

import pytest

from matching.engine.codes import EXPIRED
from matching.engine.messages import (
    AUCTION,
    BUY,
    CLOSED,
    OPEN,
    SELL,
    STP_DECREMENT,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    CancelAfter,
    Expire,
    OrderAccepted,
    OrderCancelled,
    OrderRefreshed,
    OrderRepriced,
    OrderTriggered,
    OrderWaiting,
    SelfTradePrevented,
    SetState,
    Terms,
    Trade,
)
from matching.state.codec import decode_command
from orders.commands.build import place_command
from tests.factories.ledger_lists import assert_exact, need_of

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


def settle(rig):
    """Settle what there is; every invariant holds after it."""
    rig.commit()
    rig.settle()
    assert_exact(rig)


def trade_at(rig, price_ticks, lots=1):
    """Somebody trades so much at a price: what waits for it is triggered."""
    rig.place(rig.seller, SELL, price_ticks, lots)
    rig.place(rig.buyer, BUY, price_ticks, lots)


def events_of(rig, kind):
    return [event for row in rig.pending for event in row.events if type(event) is kind]


def stop(stop_ticks, trigger=TRIGGER_STOP, **more):
    return Terms(trigger=trigger, stop_ticks=stop_ticks, **more)


def payload_apply(rig, order_id):
    """Sequence the amend of an order that waited in the stream."""
    payload = rig.connection.execute(
        "SELECT payload FROM orders_command WHERE order_id = %s", (order_id,)
    ).fetchone()[0]
    return rig.apply(decode_command(payload))


# --- triggers


def test_stop_limit_buy_reserves_at_its_limit_and_gets_the_improvement_back(rig):
    trader = rig.trader(quote="1000")
    order = rig.place(trader, BUY, 10_200, 10_000, terms=stop(10_100))
    assert events_of(rig, OrderWaiting)
    settle(rig)
    assert rig.reservation(order) == D("102.102")
    rig.place(rig.seller, SELL, 10_150, 10_000)
    trade_at(rig, 10_100)
    assert events_of(rig, OrderTriggered)
    settle(rig)
    assert rig.reservation(order) is None
    assert rig.balance(trader, rig.base_id) == (D(1), 0)
    assert rig.balance(trader, rig.quote_id) == (D(1000) - D("101.6015"), 0)


def test_stop_market_sell_reserves_its_quantity_and_its_rest_is_released(rig):
    trader = rig.trader(base="1")
    rig.place(rig.buyer, BUY, 9_800, 4_000)
    order = rig.place(trader, SELL, 9_700, 10_000, market=True, terms=stop(9_900))
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (0, D(1))
    trade_at(rig, 9_900)
    settle(rig)
    assert rig.reservation(order) is None
    assert rig.balance(trader, rig.base_id) == (D("0.6"), 0)


@pytest.mark.parametrize(
    ("side", "terms"),
    [
        (BUY, stop(9_900, TRIGGER_TAKE)),
        (SELL, stop(10_100, TRIGGER_TAKE)),
        (BUY, Terms(trigger=TRIGGER_TRAILING, trail_ticks=50)),
        (SELL, Terms(trigger=TRIGGER_TRAILING, trail_ppm=10_000)),
    ],
)
def test_order_that_waits_keeps_its_reservation_until_it_is_cancelled(rig, side, terms):
    trader = rig.trader(base="1", quote="1000")
    trade_at(rig, 10_000)
    order = rig.place(trader, side, 10_000, 5_000, terms=terms)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, side, 10_000, 5_000)
    rig.cancel(order)
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (D(1), 0)
    assert rig.balance(trader, rig.quote_id) == (D(1000), 0)


def test_order_triggered_in_the_row_of_an_order_by_quote_amount_is_bounded_by_its_lots(rig):
    """One command, two takers: only the one that the command entered is bounded by money."""
    spender, stop_owner = rig.trader(quote="1000"), rig.trader(quote="1000")
    rig.place(rig.seller, SELL, 10_000, 1_000)
    rig.place(rig.seller, SELL, 10_100, 3_000)
    order = rig.place(stop_owner, BUY, 10_200, 5_000, terms=stop(10_000))
    settle(rig)
    rig.place(spender, BUY, 10_050, quote_atoms=50_00000000)
    [row] = rig.pending
    takers = {event.taker_order_id for event in row.events if isinstance(event, Trade)}
    assert len(takers) == 2
    settle(rig)
    # 0.3 of 0.5 at 101; the rest waits in the book at its limit, for taker's rate if it must.
    assert rig.reservation(order) == D("20.4204") - D(0)
    assert rig.balance(stop_owner, rig.quote_id)[0] == D(1000) - D("30.3303") - D("20.4204")
    assert rig.balance(spender, rig.base_id) == (D("0.1"), 0)


def test_amend_of_a_waiting_order_changes_its_reservation(rig):
    trader = rig.trader(quote="1000")
    order = rig.place(trader, BUY, 10_000, 10_000, terms=stop(10_000))
    rig.commit()
    assert rig.amend(order, price_ticks=10_500, lots=20_000)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_500, 20_000)
    assert rig.amend(order, lots=1_000)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_500, 1_000)


# --- icebergs, good till date, repricing


def test_iceberg_reserves_for_its_hidden_part(rig):
    trader = rig.trader(quote="1000")
    order = rig.place(trader, BUY, 10_000, 10_000, terms=Terms(display_lots=1_000))
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_000, 10_000)
    rig.place(rig.seller, SELL, 10_000, 2_500)
    assert events_of(rig, OrderRefreshed)
    settle(rig)
    assert rig.balance(trader, rig.base_id) == (D("0.25"), 0)
    rig.cancel(order)
    settle(rig)
    assert rig.balance(trader, rig.quote_id) == (D(1000) - D("25.0125"), 0)


def test_order_whose_time_has_come_releases_all(rig):
    trader = rig.trader(quote="1000")
    due_ms = 5_000_000_000_000
    rig.place(trader, BUY, 10_000, 10_000, terms=Terms(expire_ms=due_ms))
    settle(rig)
    rig.apply(Expire(rig.ids.next_id(), due_ms, rig.symbol.pk))
    assert [event.code for event in events_of(rig, OrderCancelled)] == [EXPIRED]
    settle(rig)
    assert rig.balance(trader, rig.quote_id) == (D(1000), 0)


def test_cancel_after_and_the_end_of_a_symbol_release_all(rig):
    trader, other = rig.trader(quote="1000"), rig.trader(quote="1000")
    rig.place(trader, BUY, 10_000, 10_000)
    rig.place(trader, BUY, 10_000, 10_000, terms=stop(11_000))
    rig.place(other, BUY, 10_000, 10_000)
    settle(rig)
    due_ms = 5_000_000_000_000
    rig.apply(CancelAfter(rig.ids.next_id(), 0, rig.symbol.pk, trader, due_ms))
    rig.apply(Expire(rig.ids.next_id(), due_ms, rig.symbol.pk))
    settle(rig)
    assert rig.balance(trader, rig.quote_id) == (D(1000), 0)
    assert rig.balance(other, rig.quote_id) == (D("899.9"), D("100.1"))
    rig.apply(SetState(rig.ids.next_id(), 0, rig.symbol.pk, CLOSED))
    settle(rig)
    assert rig.balance(other, rig.quote_id) == (D(1000), 0)


def test_repriced_post_only_buy_reserves_at_its_new_price(rig):
    trader = rig.trader(quote="1000")
    rig.place(rig.seller, SELL, 10_050, 1_000)
    order = rig.place(trader, BUY, 10_200, 10_000, post_only=True, terms=Terms(reprice=True))
    assert events_of(rig, OrderAccepted)[-1].price_ticks == 10_049
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_049, 10_000)
    rig.place(rig.seller, SELL, 10_049, 10_000)
    settle(rig)
    assert rig.balance(trader, rig.quote_id) == (D(1000) - D("100.540245"), 0)


def test_repriced_post_only_sell_reserves_its_quantity(rig):
    trader = rig.trader(base="1")
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    order = rig.place(trader, SELL, 9_900, 10_000, post_only=True, terms=Terms(reprice=True))
    settle(rig)
    assert rig.reservation(order) == D(1)
    row = rig.connection.execute(
        "SELECT price_ticks FROM wallets_reservation WHERE order_id = %s", (order,)
    ).fetchone()
    assert row == (10_001,)


def test_order_that_is_moved_when_it_is_triggered_reserves_at_the_price_it_got(rig):
    trader = rig.trader(quote="1000")
    order = rig.place(trader, BUY, 10_200, 10_000, terms=stop(10_100, reprice=True), post_only=True)
    rig.place(rig.seller, SELL, 10_100, 1_000)
    rig.place(rig.seller, SELL, 10_150, 1_000)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_200, 10_000)
    rig.place(rig.buyer, BUY, 10_100, 1_000)
    assert events_of(rig, OrderRepriced)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_149, 10_000)


# --- self-trade prevention


def test_decrement_releases_what_both_orders_lose(rig):
    trader = rig.trader(base="1", quote="1000")
    resting = rig.place(trader, BUY, 10_000, 10_000)
    incoming = rig.place(trader, SELL, 9_900, 4_000, self_trade=STP_DECREMENT)
    assert events_of(rig, SelfTradePrevented)
    settle(rig)
    assert rig.reservation(resting) == need_of(rig, BUY, 10_000, 6_000)
    assert rig.reservation(incoming) is None
    assert rig.balance(trader, rig.base_id) == (D(1), 0)


def test_decrement_of_the_incoming_order_keeps_what_it_needs_for_its_rest(rig):
    trader = rig.trader(base="1", quote="1000")
    resting = rig.place(trader, SELL, 10_000, 4_000)
    incoming = rig.place(trader, BUY, 10_100, 10_000, self_trade=STP_DECREMENT)
    settle(rig)
    assert rig.reservation(resting) is None
    assert rig.reservation(incoming) == need_of(rig, BUY, 10_100, 6_000)


def test_amend_on_its_way_still_has_its_funds_after_a_decrement(rig):
    """The amend asks for a total: what the decrement frees is needed again when it is answered."""
    trader = rig.trader(base="1", quote="200.2")
    order = rig.place(trader, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(order, lots=20_000, sequence=False)
    assert rig.balance(trader, rig.quote_id) == (0, D("200.2"))
    rig.place(trader, SELL, 10_000, 4_000, self_trade=STP_DECREMENT)
    rig.place(rig.seller, SELL, 10_000, 1_000)
    rig.commit()
    rig.settle()
    # It pays for the fill and releases nothing: 20 lots-to-be, less 1 that it has.
    assert rig.reservation(order) == D("200.2") - D("10.005")
    payload_apply(rig, order)
    settle(rig)
    assert rig.reservation(order) == D("190.19")
    assert rig.balance(trader, rig.quote_id)[0] == D("0.005")


def test_refused_amend_after_a_decrement_leaves_what_is_needed(rig):
    trader = rig.trader(base="1", quote="1000")
    order = rig.place(trader, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(order, price_ticks=12_000, keep_priority=True, sequence=False)
    rig.place(trader, SELL, 10_000, 4_000, self_trade=STP_DECREMENT)
    rig.commit()
    rig.settle()
    assert rig.reservation(order) == D("120.12")
    payload_apply(rig, order)
    settle(rig)
    assert rig.reservation(order) == need_of(rig, BUY, 10_000, 6_000)
    row = rig.connection.execute(
        "SELECT pending_amend_id, left_lots FROM wallets_reservation WHERE order_id = %s", (order,)
    ).fetchone()
    assert row == (None, None)


def test_amend_of_an_order_that_is_repriced_at_its_entry(rig):
    trader = rig.trader(quote="102.102")
    rig.place(rig.seller, SELL, 10_050, 1_000)
    rig.commit()
    order = rig.place(
        trader, BUY, 10_200, 10_000, post_only=True, terms=Terms(reprice=True), sequence=False
    )
    assert rig.amend(order, price_ticks=10_200, sequence=False)
    place = place_command(
        order_id=order, symbol_id=rig.symbol.pk, account_id=trader, side=BUY, price_ticks=10_200,
        quantity_lots=10_000, post_only=True, terms=Terms(reprice=True),
    )  # fmt: skip
    rig.apply(place)
    rig.commit()
    rig.settle()
    assert rig.reservation(order) == D("102.102")
    [sell] = [resting for resting in rig.book.orders.values() if resting.side == SELL]
    rig.cancel(sell.order_id)
    payload_apply(rig, order)
    settle(rig)
    assert rig.reservation(order) == D("102.102")


# --- auctions


def test_auction_gives_both_sides_what_the_price_is_better(rig):
    rig.apply(SetState(rig.ids.next_id(), 0, rig.symbol.pk, AUCTION))
    early = rig.place(rig.seller, SELL, 9_000, 4_000)
    buy = rig.place(rig.buyer, BUY, 11_000, 10_000)
    market = rig.place(rig.seller, SELL, 8_000, 5_000, market=True)
    other = rig.place(rig.seller, SELL, 10_000, 1_000)
    settle(rig)
    assert rig.reservation(buy) == need_of(rig, BUY, 11_000, 10_000)
    rig.apply(SetState(rig.ids.next_id(), 0, rig.symbol.pk, OPEN))
    prices = {event.price_ticks for event in events_of(rig, Trade)}
    settle(rig)
    assert prices == {10_000}
    assert [rig.reservation(one) for one in (early, buy, market, other)] == [None] * 4
    # 100 for what it bid 110, 0.1 % as the younger against the first, 0.05 % against the others.
    assert rig.balance(rig.buyer, rig.quote_id) == (D(10_000) - D(100) - D("0.07"), 0)
    assert rig.balance(rig.buyer, rig.base_id) == (D(1), 0)
