"""Rule 25: what takes more than one command's share of work goes on in `Continue` commands."""

from matching.engine import messages as m
from matching.engine.cancels import DUE_PER_COMMAND_MAX, WAITING_PER_LOOK
from matching.engine.cascade import STEPS_PER_COMMAND_MAX
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.plain import CANCELS_AT_ONCE_MAX
from matching.state.codec import decode_journal, encode_journal
from matching.state.hash import state_hash
from matching.state.snapshot import snapshot_decode, snapshot_encode
from tests.fuzz import finish, without_cuts
from tests.oracles.naive.book import NaiveEngine
from tests.steps import steps_of

SYMBOL = 1
STOPS = 350
FEW_STOPS, MANY_STOPS = 1_000, 4_000
# Counted: 1.08. Where each stop looked at the others, it would be 4.
COST_RATIO_MAX = 1.2


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


def triggering(count: int) -> tuple[Engine, list[m.Event]]:
    engine = Engine()
    for command in [*stops(count), trigger()[0]]:
        engine.apply(command)
    return engine, engine.apply(trigger()[1])


def test_25_1_a_command_does_a_bounded_amount_and_asks_for_more() -> None:
    engine, events = triggering(STOPS)
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
    engine, events = triggering(STOPS)
    probe = m.Place(0, 0, SYMBOL, 99, 9, m.BUY, 990, 5)
    cut = without_cuts(events + finish(engine, SYMBOL) + engine.apply(probe))
    other, events = triggering(STOPS)
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
    engine, _ = triggering(STOPS)
    copy = snapshot_decode(snapshot_encode(engine))
    copy.check()
    assert state_hash(copy) == state_hash(engine)
    assert copy.needs_continue(SYMBOL)
    assert finish(copy, SYMBOL) == finish(engine, SYMBOL)
    assert snapshot_encode(copy) == snapshot_encode(engine)


def test_25_4_cancels_of_all_accounts_go_in_pieces_before_anything_else() -> None:
    engine = Engine()
    for command in stops(STOPS):
        engine.apply(command)
    first = engine.apply(m.CancelAll(1, 0, SYMBOL, m.ALL_ACCOUNTS))
    assert len(first) == STEPS_PER_COMMAND_MAX + 1
    events = engine.apply(m.Place(0, 0, SYMBOL, 5, 5, m.SELL, 900, 1))
    assert m.Trade not in map(type, events), "nothing trades with an order that was to go"
    assert list(engine.book(SYMBOL).orders) == [5]


def test_25_1_a_stop_costs_no_more_among_many_that_one_trade_triggers() -> None:
    def steps_each(count: int) -> float:
        engine, _ = triggering(count)
        events: list[m.Event] = []
        steps = steps_of(lambda: events.extend(finish(engine, SYMBOL)))
        assert sum(type(event) is m.OrderTriggered for event in events) >= count * 0.9
        return steps / count

    few, many = steps_each(FEW_STOPS), steps_each(MANY_STOPS)
    assert many < few * COST_RATIO_MAX, (few, many)


def crowd(orders: int, account_id: int = 0, terms: m.Terms | None = None) -> Engine:
    """So many orders, of one account or each of its own."""
    engine = Engine()
    for number in range(1, orders + 1):
        account = account_id or number
        engine.apply(
            m.Place(number, 0, SYMBOL, number, account, m.BUY, 1_000 - number % 9, 1, terms=terms)
        )
    return engine


def ended(events: list[m.Event]) -> list[int]:
    return [event.order_id for event in events if type(event) is m.OrderCancelled]


def test_25_1_cancel_all_of_a_plain_account_is_one_piece_up_to_a_bound() -> None:
    engine = crowd(CANCELS_AT_ONCE_MAX, account_id=7)
    events = engine.apply(m.CancelAll(1, 0, SYMBOL, 7))
    assert ended(events) == list(range(1, CANCELS_AT_ONCE_MAX + 1))
    assert engine.book(SYMBOL).advanced is None


def test_25_1_cancel_all_of_more_orders_goes_in_pieces_oldest_first() -> None:
    count = CANCELS_AT_ONCE_MAX + 1
    engine = crowd(count, account_id=7)
    events = engine.apply(m.CancelAll(1, 0, SYMBOL, 7))
    assert len(ended(events)) == STEPS_PER_COMMAND_MAX
    assert events[-1] == m.ContinueNeeded(SYMBOL)
    assert ended(events + finish(engine, SYMBOL)) == list(range(1, count + 1))


def test_25_1_cancel_all_beside_advanced_state_goes_in_pieces() -> None:
    engine = crowd(STOPS, account_id=7, terms=m.Terms(display_lots=1))
    events = engine.apply(m.CancelAll(1, 0, SYMBOL, 7))
    assert len(ended(events)) == STEPS_PER_COMMAND_MAX
    assert ended(events + finish(engine, SYMBOL)) == list(range(1, STOPS + 1))


def test_25_1_closing_looks_at_no_more_orders_than_it_ends() -> None:
    """A symbol with many orders takes no longer to begin than one with few."""
    engine = crowd(MANY_STOPS)
    events = engine.apply(m.SetState(1, 0, SYMBOL, m.CLOSED))
    advanced = engine.book(SYMBOL).advanced
    assert advanced is not None
    assert len(advanced.cancels) == 1
    events += finish(engine, SYMBOL)
    assert sorted(ended(events)) == list(range(1, MANY_STOPS + 1))
    assert not engine.book(SYMBOL).orders


def test_18_3_everyones_waiting_orders_end_by_id_after_the_book() -> None:
    engine = Engine()
    for command in stops(WAITING_PER_LOOK + 5):
        engine.apply(command)
    events = engine.apply(m.CancelAll(1, 0, SYMBOL, m.ALL_ACCOUNTS)) + finish(engine, SYMBOL)
    waited = ended(events)[WAITING_PER_LOOK + 5 :]
    assert waited == [1_000_000 + number for number in range(WAITING_PER_LOOK + 5)]


def test_15_2_of_too_many_that_are_due_the_rest_stays_due() -> None:
    count = DUE_PER_COMMAND_MAX + 3
    engine = crowd(count, terms=m.Terms(expire_ms=50))
    first = engine.apply(m.Expire(1, 50, SYMBOL)) + finish(engine, SYMBOL)
    assert ended(first) == list(range(1, DUE_PER_COMMAND_MAX + 1))
    assert engine.next_due_ms(SYMBOL) == 50
    second = engine.apply(m.Expire(2, 50, SYMBOL))
    assert ended(second) == [count - 2, count - 1, count]
    assert engine.next_due_ms(SYMBOL) is None


def test_18_4_of_too_many_timers_that_are_due_the_rest_stays_due() -> None:
    engine = crowd(DUE_PER_COMMAND_MAX, account_id=7)
    engine.apply(m.Place(9_999, 0, SYMBOL, 9_999, 8, m.BUY, 900, 1))
    for account_id in (7, 8):
        engine.apply(m.CancelAfter(1, 0, SYMBOL, account_id, 50))
    first = engine.apply(m.Expire(2, 50, SYMBOL)) + finish(engine, SYMBOL)
    assert len(ended(first)) == DUE_PER_COMMAND_MAX
    assert engine.next_due_ms(SYMBOL) == 50
    assert ended(engine.apply(m.Expire(3, 50, SYMBOL))) == [9_999]
