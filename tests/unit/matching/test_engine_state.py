"""Restore, state hash, codec, impossible input, and that `check` sees what is wrong."""

from collections.abc import Callable

import msgspec
import pytest

from matching.engine import messages as m
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.resting import Level, RestingOrder
from matching.engine.versions import RULES_FIRST
from matching.state.codec import (
    decode_command,
    decode_journal,
    encode_command,
    encode_journal,
)
from matching.state.hash import StateHash, orders_named, state_hash
from tests.scenario import SYMBOL, run

TWO_LEVELS = """
    buy #1 5@100 by=7     -> rest #1 5@100
    buy #2 4@100 by=8     -> rest #2 4@100
    buy #3 3@99 by=7      -> rest #3 3@99
    sell #4 2@103         -> rest #4 2@103
"""


def resting(order_id: int, priority: int, price_ticks: int = 100) -> RestingOrder:
    return RestingOrder(order_id, 7, m.BUY, price_ticks, 5, 5, priority)


def test_restore_keeps_queue_places_and_state() -> None:
    """B3."""
    engine = Engine()
    engine.sequence = 40
    engine.restore(SYMBOL, m.HALT, [resting(9, 20), resting(3, 31), resting(4, 39, 101)])
    engine.check()
    assert engine.book(SYMBOL).state == m.HALT
    engine.apply(m.SetState(1, 0, SYMBOL, m.OPEN))
    trades = engine.apply(m.Place(50, 0, SYMBOL, 50, 8, m.SELL, 100, 12))[1:]
    assert [trade.maker_order_id for trade in trades if isinstance(trade, m.Trade)] == [4, 9, 3]
    assert engine.sequence == 42


def test_restore_asks_for_orders_by_priority() -> None:
    with pytest.raises(AssertionError):
        Engine().restore(SYMBOL, m.OPEN, [resting(1, 5), resting(2, 4)])


def test_restore_asks_for_an_empty_book() -> None:
    engine = run(TWO_LEVELS)
    with pytest.raises(AssertionError):
        engine.restore(SYMBOL, m.OPEN, [])


@pytest.mark.parametrize(
    "command",
    [
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 0, 5),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 0),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, -5),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 0, m.IOC),
        m.Place(1, 0, SYMBOL, 1, 7, 2, 100, 5),
        m.Place(1, 0, SYMBOL, 1, 7, -1, 100, 5),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 5, m.GTC, market=True),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 5, m.IOC, post_only=True),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 0, m.IOC, budget_ticklots=500),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 5, m.IOC, market=True, budget_ticklots=500),
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 5, 3),
        m.Place(1, 0, SYMBOL, 1, 7, m.SELL, 100, 1, self_trade=9),
        m.Amend(1, 0, SYMBOL, 1, -1, 5),
        m.Amend(1, 0, SYMBOL, 1, 100, -5),
        m.CancelAll(1, 0, SYMBOL, 7, 2),
        m.SetState(1, 0, SYMBOL, 9),
        m.SetState(1, 0, SYMBOL, -1),
    ],
)
def test_impossible_input_is_a_bug_and_changes_nothing(command: m.Command) -> None:
    engine = run("buy #9 5@100 -> rest #9 5@100")
    before = state_hash(engine)
    with pytest.raises(AssertionError):
        engine.apply(command)
    assert state_hash(engine) == before


def test_state_hash_tells_every_value_apart() -> None:
    base = resting(1, 5)
    changes: list[dict[str, int | bool]] = [
        {"order_id": 2},
        {"account_id": 8},
        {"side": m.SELL},
        {"price_ticks": 101},
        {"quantity_lots": 6},
        {"left_lots": 4},
        {"priority": 6},
        {"post_only": True},
        {"self_trade": m.STP_NONE},
    ]
    hashes = {hash_of(SYMBOL, base), hash_of(SYMBOL + 1, base)}
    hashes |= {hash_of(SYMBOL, msgspec.structs.replace(base, **change)) for change in changes}
    assert len(hashes) == len(changes) + 2


def hash_of(symbol_id: int, order: RestingOrder) -> str:
    engine = Engine()
    engine.sequence = 9
    engine.restore(symbol_id, m.OPEN, [msgspec.structs.replace(order)])
    return state_hash(engine)


def test_state_hash_tells_sequence_and_market_state_apart() -> None:
    nothing = StateHash()
    hashes = {
        nothing.hexdigest(0, {}),
        nothing.hexdigest(1, {}),
        nothing.hexdigest(0, {1: m.HALT}),
        nothing.hexdigest(0, {2: m.HALT}),
    }
    assert len(hashes) == 4
    # A symbol nobody has traded yet is like one that is open and empty.
    assert nothing.hexdigest(0, {1: m.OPEN}) == nothing.hexdigest(0, {})


def test_state_hash_of_a_known_state_does_not_change_between_releases() -> None:
    # Checkpoints outlive a release. Where this must change, so must the version in the hash.
    assert state_hash(run(TWO_LEVELS)) == (
        "f01d757c52beeaa861bab6cb0ce66c263ca6309c6a39b897131f8e10154ff8f2"
    )


def test_touch_takes_an_order_back_out() -> None:
    kept = StateHash()
    empty = kept.hexdigest(3, {})
    kept.touch(SYMBOL, 1, resting(1, 3))
    assert kept.hexdigest(3, {}) != empty
    kept.touch(SYMBOL, 1, None)
    kept.touch(SYMBOL, 2, None)
    assert kept.hexdigest(3, {}) == empty


def test_events_name_the_orders_they_may_have_changed() -> None:
    events: list[m.Event] = [
        m.OrderAccepted(1, 7, m.BUY, 100, 5),
        m.Trade(2, 1, 8, 7, m.BUY, 100, 5, 0, 0),
        m.CommandRefused(3, 3, m.NOT_OPEN),
        m.StateChanged(SYMBOL, m.HALT),
        m.OrderCancelled(4, 7, m.BUY, 100, 5, m.BY_USER),
    ]
    assert orders_named(events) == {1, 2, 4}


def test_old_journal_bytes_stay_readable() -> None:
    # A Place as it was written before any optional field existed.
    old = msgspec.msgpack.encode([1, 5, 0, 1, 5, 7, m.BUY, 100, 3])
    assert decode_command(old) == m.Place(5, 0, 1, 5, 7, m.BUY, 100, 3)
    row = Sequenced(1, m.Cancel(5, 0, 1, 5), [m.CommandRefused(5, 5, m.NOT_OPEN)])
    text = [[1, [2, 5, 0, 1, 5], [[6, 5, 5, "order.not_open"]]]]
    assert decode_journal(msgspec.msgpack.encode(text)) == [row]
    assert row.rules == RULES_FIRST
    assert msgspec.msgpack.decode(encode_journal([row])) == [[*text[0], RULES_FIRST]]


@pytest.mark.parametrize("data", [b"", b"\xc1", msgspec.msgpack.encode([99, 1, 2])])
def test_bytes_that_are_no_command(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_command(data)


def test_number_beyond_the_wire_is_an_error_not_another_number() -> None:
    with pytest.raises(OverflowError):
        encode_command(m.Cancel(2**64, 0, 1, 5))


def level_of(book: Book, price_ticks: int) -> Level:
    return book.bids.levels[price_ticks]


def swap_queue(book: Book) -> None:
    level = level_of(book, 100)
    first, second = level
    level.head, level.tail = second, first
    second.prev, second.next, first.prev, first.next = None, first, second, None


def spoil(book: Book, order_id: int, **values: int) -> None:
    for name, value in values.items():
        setattr(book.orders[order_id], name, value)


SPOILED: dict[str, Callable[[Book], object]] = {
    "queue out of time order": swap_queue,
    "level total": lambda book: setattr(level_of(book, 100), "quantity_lots", 8),
    "tail": lambda book: setattr(level_of(book, 100), "tail", book.orders[1]),
    "link back": lambda book: setattr(book.orders[2], "prev", None),
    "index misses an order": lambda book: book.orders.pop(1),
    "index has one too many": lambda book: book.orders.update({77: resting(77, 2)}),
    "index under another id": lambda book: book.orders.update({77: book.orders.pop(1)}),
    "account misses an order": lambda book: book.by_account().segments[7][7].pop(1),
    "account kept though empty": lambda book: book.by_account().segments[0].update({0: {}}),
    "price order": lambda book: book.bids.keys.reverse(),
    "price without a level": lambda book: book.asks.keys.append(-102),
    "level without a price": lambda book: book.asks.keys.clear(),
    "filled order kept": lambda book: spoil(book, 3, left_lots=0),
    "more left than ordered": lambda book: spoil(book, 3, quantity_lots=2),
    "wrong price": lambda book: spoil(book, 3, price_ticks=98),
    "wrong side": lambda book: spoil(book, 3, side=m.SELL),
    "wrong account": lambda book: spoil(book, 3, account_id=8),
    "place of the future": lambda book: spoil(book, 4, priority=99),
    "crossed": lambda book: book.add(RestingOrder(8, 8, m.SELL, 100, 1, 1, 4)),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_check_sees_a_spoiled_book(fault: str) -> None:
    engine = run(TWO_LEVELS)
    engine.book(SYMBOL).by_account()
    engine.check()
    SPOILED[fault](engine.book(SYMBOL))
    with pytest.raises(AssertionError):
        engine.check()


@pytest.mark.parametrize("asked_after", [0, 3, 6])
def test_whose_orders_are_which_does_not_depend_on_when_it_is_asked(asked_after: int) -> None:
    commands: list[m.Command] = [
        m.Place(1, 0, SYMBOL, 1, 7, m.BUY, 100, 5),
        m.Place(2, 0, SYMBOL, 2, 7, m.BUY, 99, 5),
        m.Place(3, 0, SYMBOL, 3, 8, m.BUY, 100, 5),
        m.Place(4, 0, SYMBOL, 4, 9, m.SELL, 100, 5, m.IOC),
        m.Amend(5, 0, SYMBOL, 2, 98, 4),
        m.Cancel(6, 0, SYMBOL, 3),
    ]
    engine = Engine()
    for command in commands[:asked_after]:
        engine.apply(command)
    accounts = engine.book(SYMBOL).by_account()
    for command in commands[asked_after:]:
        engine.apply(command)
    engine.check()
    book = engine.book(SYMBOL)
    assert book.by_account() is accounts
    assert accounts.orders_of(7) == [book.orders[2]]
    assert [accounts.count_of(account_id) for account_id in (7, 8, 9)] == [1, 0, 0]


def test_depth_is_best_first_and_bounded() -> None:
    book = run(TWO_LEVELS).book(SYMBOL)
    assert book.depth(1) == ([(100, 9)], [(103, 2)])
    assert book.depth(5) == ([(100, 9), (99, 3)], [(103, 2)])
    assert book.level_quantity(m.BUY, 100) == 9
    assert book.level_quantity(m.BUY, 98) == 0
    assert book.level_quantity(m.SELL, 100) == 0
    assert (book.best_bid(), book.best_ask()) == (100, 103)


def test_resting_order_prints_without_its_neighbours() -> None:
    order = run(TWO_LEVELS).book(SYMBOL).orders[1]
    assert repr(order) == "RestingOrder(#1 account=7 side=0 5/5@100 priority=1)"
