"""matching.engine under any history: equal to the naive book; exact state hash and restore."""

from hypothesis import event, given, settings

from matching.engine import messages as m
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.resting import RestingOrder
from matching.state.codec import (
    decode_command,
    decode_journal,
    encode_command,
    encode_journal,
)
from matching.state.hash import StateHash, state_hash
from tests.oracles.naive.book import NaiveEngine
from tests.strategies import command_lists


def restored(engine: Engine) -> Engine:
    """Return an engine filled from rows: from the values of the open orders alone."""
    copy = Engine()
    copy.sequence = engine.sequence
    for symbol_id, book in engine.books.items():
        orders = sorted(book.orders.values(), key=lambda order: order.priority)
        copy.restore(symbol_id, book.state, [detached(order) for order in orders])
    return copy


def detached(order: RestingOrder) -> RestingOrder:
    return RestingOrder(*order.values())


@settings(max_examples=400, deadline=None)
@given(command_lists())
def test_engine_equals_the_naive_book(history: list[m.Command]) -> None:
    """B1, B2, B4, B5: same events after every command, same open orders, invariants kept."""
    engine, naive = Engine(), NaiveEngine()
    for command in history:
        happened = engine.apply(command)
        assert happened == naive.apply(command)
        engine.check()
        for kind in {type(e).__name__ for e in happened}:
            event(kind)
    for symbol_id, book in engine.books.items():
        market = naive.markets[symbol_id]
        assert {order.order_id: order.left_lots for order in book.orders.values()} == {
            order.order_id: order.left_lots for order in market.orders
        }
        assert book.state == market.state
    assert engine.sequence == naive.sequence == len(history)


@settings(max_examples=200, deadline=None)
@given(command_lists())
def test_depth_is_the_sum_of_open_orders(history: list[m.Command]) -> None:
    engine = Engine()
    for command in history:
        engine.apply(command)
    for book in engine.books.values():
        for side, levels in enumerate(book.depth(100)):
            totals: dict[int, int] = {}
            for order in book.orders.values():
                if order.side == side:
                    totals[order.price_ticks] = totals.get(order.price_ticks, 0) + order.left_lots
            assert levels == sorted(totals.items(), reverse=side == m.BUY)
            assert all(book.level_quantity(side, price) == lots for price, lots in levels)
        bids, asks = book.depth(1)
        assert [book.best_bid()] == [price for price, _ in bids] or not bids
        assert [book.best_ask()] == [price for price, _ in asks] or not asks


@settings(max_examples=200, deadline=None)
@given(command_lists())
def test_lots_are_conserved(history: list[m.Command]) -> None:
    """O2: what an order was given = what it traded + what was cancelled + what is open."""
    engine = Engine()
    given_lots = gone_lots = 0
    for command in history:
        for happened in engine.apply(command):
            match happened:
                case m.OrderAccepted():
                    given_lots += happened.quantity_lots
                case m.OrderAmended():
                    given_lots += happened.left_lots - happened.old_left_lots
                case m.Trade():
                    # A taker by quote amount has no quantity of its own.
                    by_quote = isinstance(command, m.Place) and command.budget_ticklots > 0
                    gone_lots += happened.quantity_lots * (1 if by_quote else 2)
                case m.OrderCancelled():
                    gone_lots += happened.left_lots
    open_lots = sum(o.left_lots for book in engine.books.values() for o in book.orders.values())
    assert given_lots == gone_lots + open_lots


@settings(max_examples=200, deadline=None)
@given(command_lists(), command_lists(max_size=20))
def test_restored_engine_has_the_same_hash_and_the_same_future(
    past: list[m.Command], future: list[m.Command]
) -> None:
    """B3, D1."""
    engine = Engine()
    for command in past:
        engine.apply(command)
    copy = restored(engine)
    copy.check()
    assert state_hash(copy) == state_hash(engine)
    for command in future:
        assert copy.apply(command) == engine.apply(command)
    assert state_hash(copy) == state_hash(engine)


@settings(max_examples=200, deadline=None)
@given(command_lists())
def test_followed_hash_equals_the_full_one(history: list[m.Command]) -> None:
    engine, followed = Engine(), StateHash()
    for command in history:
        events = engine.apply(command)
        followed.follow(engine.book(command.symbol_id), events)
        states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        assert followed.hexdigest(engine.sequence, states) == state_hash(engine)
    assert StateHash.of(engine).hexdigest(engine.sequence, states_of(engine)) == state_hash(engine)


def states_of(engine: Engine) -> dict[int, int]:
    return {symbol_id: book.state for symbol_id, book in engine.books.items()}


@settings(max_examples=200, deadline=None)
@given(command_lists())
def test_journal_and_commands_survive_the_codec(history: list[m.Command]) -> None:
    engine = Engine()
    rows = [Sequenced(engine.sequence, c, engine.apply(c)) for c in history]
    assert decode_journal(encode_journal(rows)) == rows
    assert [decode_command(encode_command(command)) for command in history] == history
