"""Rule 25: what takes more than one command's share of work goes on in `Continue` commands."""

import time

from matching import messages as m
from matching.codec import Sequenced, decode_journal, encode_journal
from matching.engine import Engine
from matching.image import image_decode, image_encode
from matching.sequencing import STEPS_PER_COMMAND_MAX
from matching.snapshot import state_hash
from tests.fuzz import finish, without_cuts
from tests.naive_book import NaiveEngine

SYMBOL = 1
STOPS = 350
# One trade elects this many; the bound for all of them.
MANY_STOPS = 10_000
MANY_STOPS_SECONDS_MAX = 1.0


def stops(count: int) -> list[m.Command]:
    """A last price, bids to trade with, and sell stops under it: the older, the lower."""
    commands: list[m.Command] = [m.SetFeature(1, 0, SYMBOL, 1, False)]
    commands += [
        m.Place(0, 0, SYMBOL, number + 10, 7, m.BUY, 1_000 - number % 50, 1)
        for number in range(count)
    ]
    for number in range(count):
        terms = m.Terms(m.TRIGGER_STOP, 5_000 + number % 90)
        order_id = 1_000_000 + number
        commands.append(
            m.Place(0, 0, SYMBOL, order_id, 8, m.SELL, 900, 1, m.IOC, market=True, terms=terms)
        )
    return commands


def trigger(price_ticks: int = 4_990) -> list[m.Command]:
    return [
        m.Place(0, 0, SYMBOL, 1, 1, m.SELL, price_ticks, 1),
        m.Place(0, 0, SYMBOL, 2, 2, m.BUY, price_ticks, 1),
    ]


def electing(count: int) -> tuple[Engine, list[m.Event]]:
    engine = Engine()
    for command in [*stops(count), trigger()[0]]:
        engine.apply(command)
    return engine, engine.apply(trigger()[1])


def test_25_1_a_command_does_a_bounded_amount_and_asks_for_more() -> None:
    engine, events = electing(STOPS)
    assert events[-1] == m.ContinueNeeded(SYMBOL)
    pieces = 0
    while engine.needs_continue(SYMBOL):
        engine.check()
        fired = [e for e in engine.apply(m.Continue(0, 0, SYMBOL)) if type(e) is m.OrderTriggered]
        assert len(fired) <= STEPS_PER_COMMAND_MAX
        pieces += 1
    assert pieces == STOPS // STEPS_PER_COMMAND_MAX
    assert not engine.book(SYMBOL).orders


def test_25_2_where_work_is_cut_changes_nothing() -> None:
    """A command that comes before the Continue finds everything done, in the same order."""
    engine, events = electing(STOPS)
    probe = m.Place(0, 0, SYMBOL, 99, 9, m.BUY, 990, 5)
    cut = without_cuts(events + finish(engine, SYMBOL) + engine.apply(probe))
    other, events = electing(STOPS)
    whole = without_cuts(events + other.apply(probe))
    assert cut == whole
    naive = NaiveEngine()
    expected = [e for c in [*stops(STOPS), *trigger(), probe] for e in naive.apply(c)]
    assert whole == expected[-len(whole) :]


def test_25_3_journal_replay_is_exact() -> None:
    engine, rows = Engine(), []
    for command in [*stops(STOPS), *trigger()]:
        rows.append(Sequenced(engine.sequence + 1, command, engine.apply(command)))
        while engine.needs_continue(SYMBOL):
            more = m.Continue(0, 0, SYMBOL)
            rows.append(Sequenced(engine.sequence + 1, more, engine.apply(more)))
    replayed = Engine()
    for row in decode_journal(encode_journal(rows)):
        assert replayed.apply(row.command) == row.events
    assert state_hash(replayed) == state_hash(engine)


def test_25_3_a_restart_in_the_middle_goes_on_where_it_was() -> None:
    engine, _ = electing(STOPS)
    copy = image_decode(image_encode(engine))
    copy.check()
    assert state_hash(copy) == state_hash(engine)
    assert copy.needs_continue(SYMBOL)
    assert finish(copy, SYMBOL) == finish(engine, SYMBOL)
    assert image_encode(copy) == image_encode(engine)


def test_25_4_cancels_of_all_accounts_go_in_pieces_before_anything_else() -> None:
    engine = Engine()
    for command in stops(STOPS):
        engine.apply(command)
    first = engine.apply(m.CancelAll(1, 0, SYMBOL, m.ALL_ACCOUNTS))
    assert len(first) == STEPS_PER_COMMAND_MAX + 1
    events = engine.apply(m.Place(0, 0, SYMBOL, 5, 5, m.SELL, 900, 1))
    assert m.Trade not in map(type, events), "nothing trades with an order that was to go"
    assert list(engine.book(SYMBOL).orders) == [5]


def test_25_1_ten_thousand_stops_of_one_trade() -> None:
    engine, _ = electing(MANY_STOPS)
    started = time.perf_counter()
    events = finish(engine, SYMBOL)
    seconds = time.perf_counter() - started
    assert sum(type(event) is m.OrderTriggered for event in events) > MANY_STOPS * 0.9
    assert seconds < MANY_STOPS_SECONDS_MAX, f"{seconds:.2f} s"
