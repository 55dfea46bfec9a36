"""One turn of the worker: its own commands, what waits for them, and what does not."""

import itertools
from collections.abc import Sequence

import pytest

from matching.engine.cascade import STEPS_PER_COMMAND_MAX
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    GTC,
    IOC,
    OTO,
    SELL,
    TRIGGER_STOP,
    CancelAfter,
    CancelAll,
    Command,
    Continue,
    Expire,
    OrderRejected,
    Place,
    PlaceList,
    RefuseFaulty,
    Terms,
)
from matching.worker.ports import EngineFailed
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX, CONTINUES_PER_BATCH_MAX, Sequencer

BUSY, OTHER = 1, 2  # symbols
IDS = itertools.count(1)


def place(symbol_id: int, terms: Terms | None = None, **options: int | bool) -> Place:
    order_id = next(IDS)
    values = {"account_id": 1, "side": SELL, "price_ticks": 100, "quantity_lots": 5} | options
    return Place(order_id, 0, symbol_id, order_id, **values, terms=terms)  # type: ignore[arg-type]


def expiring(symbol_id: int, expire_ms: int) -> Place:
    return place(symbol_id, Terms(expire_ms=expire_ms))


def turn(sequencer: Sequencer, *commands: Command, now_ms: int = 1_000) -> list[Sequenced]:
    return list(sequencer.turn(commands, now_ms))


def kinds(rows: Sequence[Sequenced]) -> list[type]:
    return [type(row.command) for row in rows]


def sequencer_of(engine: Engine, **options: frozenset[int]) -> Sequencer:
    return Sequencer(engine, lambda: next(IDS), **options)


def crowded(orders: int) -> Engine:
    """An engine whose busy symbol has so many open orders."""
    engine = Engine()
    for _ in range(orders):
        engine.apply(place(BUSY))
    return engine


def cancel_everything() -> CancelAll:
    return CancelAll(next(IDS), 0, BUSY, ALL_ACCOUNTS)


def test_what_a_command_leaves_is_done_before_anything_else_of_its_symbol() -> None:
    engine = crowded(3 * STEPS_PER_COMMAND_MAX)
    sequencer = sequencer_of(engine)
    rows = turn(sequencer, cancel_everything(), place(BUSY), place(OTHER))
    assert kinds(rows)[:3] == [CancelAll, Continue, Continue]
    assert kinds(rows)[-2:] == [Place, Place]
    assert kinds(rows).count(Continue) <= CONTINUES_PER_BATCH_MAX
    assert len(engine.books[BUSY].orders) == 1
    assert [row.sequence for row in rows] == sorted(row.sequence for row in rows)
    assert sequencer.next_due_ms() is None


def test_a_turn_takes_a_bounded_number_of_pieces_and_other_symbols_do_not_wait() -> None:
    pieces = CONTINUES_PER_BATCH_MAX + 5
    engine = crowded((pieces + 1) * STEPS_PER_COMMAND_MAX)
    sequencer = sequencer_of(engine)
    late, other = place(BUSY), place(OTHER)
    rows = turn(sequencer, cancel_everything(), late, other)
    assert kinds(rows) == [CancelAll, *[Continue] * CONTINUES_PER_BATCH_MAX, Place]
    assert rows[-1].command is other
    assert sequencer.left == [late]
    assert sequencer.next_due_ms() == 0, "there is work at once"
    another = place(OTHER)
    rows = turn(sequencer, *sequencer.left, another)
    assert Continue in kinds(rows)
    assert [row.command for row in rows if type(row.command) is Place] == [late, another]
    assert kinds(rows)[0] is Continue
    assert sequencer.left == []
    assert sequencer.next_due_ms() is None


def test_symbols_with_much_to_do_share_a_turn() -> None:
    engine = Engine()
    sequencer = sequencer_of(engine)
    symbols = (1, 2, 3)
    for symbol_id in symbols:
        for _ in range(30 * STEPS_PER_COMMAND_MAX):
            engine.apply(place(symbol_id))
    turn(sequencer, *(CancelAll(next(IDS), 0, one, ALL_ACCOUNTS) for one in symbols))
    rows = turn(sequencer)
    pieces = [row.command.symbol_id for row in rows]
    share = CONTINUES_PER_BATCH_MAX // 3
    assert {one: pieces.count(one) for one in symbols} == dict.fromkeys(symbols, share)


def test_a_turn_takes_a_bounded_number_of_commands() -> None:
    sequencer = sequencer_of(Engine())
    commands = [place(OTHER) for _ in range(COMMANDS_PER_BATCH_MAX + 3)]
    assert len(turn(sequencer, *commands)) == COMMANDS_PER_BATCH_MAX
    assert sequencer.left == commands[-3:]
    assert len(turn(sequencer, *sequencer.left)) == 3


def test_an_expire_comes_at_its_time_and_before_other_commands() -> None:
    engine = Engine()
    sequencer = sequencer_of(engine)
    turn(sequencer, expiring(BUSY, 5_000), place(OTHER), now_ms=1_000)
    assert sequencer.next_due_ms() == 5_000
    assert not sequencer.is_due(4_999)
    assert sequencer.is_due(5_000)
    assert kinds(turn(sequencer, place(BUSY), now_ms=4_999)) == [Place]
    buy = place(BUSY, side=BUY, account_id=2)
    rows = turn(sequencer, buy, now_ms=5_000)
    assert kinds(rows) == [Expire, Place]
    assert rows[0].command.time_ms == 5_000
    assert sequencer.next_due_ms() is None


def test_a_symbol_that_is_to_be_looked_at_has_a_command_by_then() -> None:
    sequencer = sequencer_of(Engine())
    turn(sequencer, place(BUSY), place(OTHER))
    sequencer.look_again({BUSY: 5_000, OTHER: 5_000})
    assert not sequencer.is_due(4_999)
    assert turn(sequencer, now_ms=4_999) == []
    rows = turn(sequencer, place(OTHER), now_ms=5_000)
    assert [(type(row.command), row.command.symbol_id) for row in rows] == [
        (Place, OTHER),
        (Expire, BUSY),
    ]
    assert sequencer.next_due_ms() is None
    assert turn(sequencer, now_ms=9_000) == []


def test_nothing_is_made_for_looking_at_a_symbol_that_is_set_aside_or_has_work() -> None:
    sequencer = sequencer_of(Engine(), set_aside=frozenset({OTHER}))
    sequencer.look_again({OTHER: 5_000})
    assert turn(sequencer, now_ms=5_000) == []
    sequencer = sequencer_of(crowded(30 * STEPS_PER_COMMAND_MAX))
    turn(sequencer, cancel_everything())
    sequencer.look_again({BUSY: 5_000})
    assert set(kinds(turn(sequencer, now_ms=5_000))) == {Continue}


def test_the_time_of_what_ended_or_moved_is_forgotten() -> None:
    sequencer = sequencer_of(Engine())
    turn(sequencer, CancelAfter(next(IDS), 0, BUSY, 1, 5_000))
    turn(sequencer, CancelAfter(next(IDS), 0, BUSY, 1, 9_000))
    assert sequencer.next_due_ms() == 9_000
    turn(sequencer, CancelAfter(next(IDS), 0, BUSY, 1, 0))
    assert sequencer.next_due_ms() is None


def test_a_restored_engine_goes_on_with_its_work_and_its_times() -> None:
    engine = crowded(3 * STEPS_PER_COMMAND_MAX)
    engine.apply(cancel_everything())
    engine.apply(expiring(OTHER, 7_000))
    sequencer = sequencer_of(engine)
    assert sequencer.next_due_ms() == 0
    assert set(kinds(turn(sequencer))) == {Continue}
    assert sequencer.next_due_ms() == 7_000


def test_for_a_symbol_that_is_set_aside_the_worker_makes_nothing() -> None:
    engine = crowded(3 * STEPS_PER_COMMAND_MAX)
    engine.apply(cancel_everything())
    engine.apply(expiring(OTHER, 500))
    sequencer = sequencer_of(engine, set_aside=frozenset({BUSY, OTHER}))
    assert sequencer.next_due_ms() is None
    assert kinds(turn(sequencer, place(OTHER))) == [Place]


def test_a_faulty_list_is_refused_order_by_order() -> None:
    parent, child = place(BUSY), place(BUSY)
    order_list = PlaceList(next(IDS), 0, BUSY, 77, OTO, [parent, child])
    sequencer = sequencer_of(Engine(), faulty_ids=frozenset({order_list.command_id}))
    rows = turn(sequencer, order_list)
    assert kinds(rows) == [RefuseFaulty, RefuseFaulty]
    assert [row.command.command_id for row in rows] == [parent.order_id, child.order_id]
    assert {type(event) for row in rows for event in row.events} == {OrderRejected}


def test_a_command_on_which_the_engine_raises_is_named() -> None:
    sequencer = sequencer_of(Engine())
    impossible = place(BUSY, price_ticks=-1)
    with pytest.raises(EngineFailed) as failure:
        turn(sequencer, impossible)
    assert failure.value.command is impossible
    assert isinstance(failure.value.error, AssertionError)


def test_rows_are_applied_only_as_they_are_asked_for() -> None:
    engine = Engine()
    rows = sequencer_of(engine).turn([place(BUSY), place(BUSY)], 0)
    next(rows)
    assert engine.sequence == 1, "in careful times each is committed before the next"


def test_triggered_stops_are_work_like_any_other() -> None:
    engine = Engine()
    sequencer = sequencer_of(engine)
    stops = [
        place(
            BUSY,
            Terms(trigger=TRIGGER_STOP, stop_ticks=100),
            side=SELL,
            account_id=3,
            market=True,
            time_in_force=IOC,
            price_ticks=1,
            quantity_lots=1,
        )
        for _ in range(2 * STEPS_PER_COMMAND_MAX + 10)
    ]
    for stop in stops:
        engine.apply(stop)
    bid = place(BUSY, side=BUY, account_id=2, quantity_lots=1_000, time_in_force=GTC)
    rows = turn(sequencer, bid, place(BUSY, account_id=4, quantity_lots=1))
    assert kinds(rows) == [Place, Place, Continue, Continue]
    assert engine.books[BUSY].orders[bid.order_id].left_lots == 1_000 - 1 - len(stops)
