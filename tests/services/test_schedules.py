"""orders.markets.schedules: each state once, in order, little late, and never out of a halt."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

import psycopg
import pytest
from django.db import IntegrityError
from django.db import connection as django_connection

from exchange.domain.enums import SymbolState
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, process_ids
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import SetState
from matching.state.codec import decode_command
from orders.commands.words import STATE_TEXTS
from orders.intake.decisions import StreamEntry
from orders.intake.process import intake_stop
from orders.markets.halts import halt_request
from orders.markets.schedules import SCHEDULE_GRACE_S, Schedule, schedules_run
from orders.markets.states import symbol_state_ahead, symbol_state_request
from orders.models import Command, ScheduledState
from tests.factories.market import MemoryPublisher
from tests.factories.models import SymbolFactory
from tests.waiting import HANG_S

# A Monday.
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WORKDAYS = "12345"


# --- which occurrence is due


def schedule(
    at: time = time(9, 0),
    weekdays: str = "",
    on_date: date | None = None,
    last_due_at: datetime | None = None,
) -> Schedule:
    return Schedule(1, 1, "open", at, weekdays, on_date, last_due_at)


@pytest.mark.parametrize(
    ("weekdays", "now", "newest"),
    [
        (WORKDAYS, NINE, NINE),
        (WORKDAYS, NINE - SECOND, NINE - timedelta(days=3)),  # Friday's
        (WORKDAYS, NINE + timedelta(days=5), NINE + timedelta(days=4)),  # on Saturday: Friday's
        ("1", NINE - SECOND, NINE - timedelta(days=7)),
        ("7", NINE, NINE - timedelta(days=1)),
    ],
)
def test_weekdays_occur_on_their_days_at_their_time(
    weekdays: str, now: datetime, newest: datetime
) -> None:
    assert schedule(weekdays=weekdays).newest(now) == newest


def test_a_date_occurs_once() -> None:
    once = schedule(on_date=NINE.date())
    assert once.newest(NINE - SECOND) is None
    assert once.newest(NINE) == NINE
    assert once.newest(NINE + timedelta(days=400)) == NINE
    assert once.coming(NINE, 3) == []
    assert once.coming(NINE - SECOND, 3) == [NINE]


def test_occurrences_are_in_utc_whatever_zone_the_clock_has() -> None:
    late = schedule(at=time(23, 59), weekdays="1")
    there = datetime.fromisoformat("2026-03-03T02:00:00+03:00")  # 23:00 on Monday, in UTC
    assert late.newest(there) == NINE.replace(hour=23, minute=59) - timedelta(days=7)
    assert late.newest(there + timedelta(hours=1)) == NINE.replace(hour=23, minute=59)


def test_the_next_occurrences_pass_over_days_off() -> None:
    days = [moment.date().day for moment in schedule(weekdays="135").coming(NINE, 3)]
    assert days == [4, 6, 9]
    rare = schedule(weekdays="1").coming(NINE, 3)
    assert [moment - NINE for moment in rare] == [timedelta(weeks=weeks) for weeks in (1, 2, 3)]


def test_an_occurrence_is_marked_once_it_was_sent() -> None:
    assert schedule(weekdays="1", last_due_at=NINE).unmarked(NINE + SECOND) is None
    before = schedule(weekdays="1", last_due_at=NINE - SECOND)
    assert before.unmarked(NINE + SECOND) == NINE


# --- what is sent

database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rig(transactional_db: None, base_rows: None) -> Iterator[psycopg.Connection]:
    catalogue_forget()
    with connect("test-schedules") as connection:
        yield connection
    intake_stop()


def plan(symbol: Symbol, state: SymbolState, at: time = time(9, 0), **changes: object) -> int:
    values = {"weekdays": WORKDAYS, "last_due_at": NINE - timedelta(hours=1), **changes}
    return ScheduledState.objects.create(symbol=symbol, state=state, at=at, **values).pk


def run(connection: psycopg.Connection, now: datetime = NINE) -> int:
    return schedules_run(connection, process_ids(), MemoryPublisher(), now)


def sent(symbol: Symbol) -> list[str]:
    """The states asked for, in the order of their commands."""
    states = []
    for row in Command.objects.filter(symbol_id=symbol.pk, kind="set_state").order_by("pk"):
        command = decode_command(bytes(row.payload))
        assert isinstance(command, SetState)
        assert (command.command_id, row.partition_id) == (row.pk, 1)
        states.append(STATE_TEXTS[command.state])
    return states


def mark(schedule_id: int) -> datetime | None:
    return ScheduledState.objects.get(pk=schedule_id).last_due_at


@database
def test_what_is_due_becomes_one_command_and_is_announced(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.PRE_OPEN)
    schedule_id = plan(symbol, SymbolState.OPEN)
    publisher = MemoryPublisher()
    assert schedules_run(rig, process_ids(), publisher, NINE - SECOND) == 0
    assert schedules_run(rig, process_ids(), publisher, NINE) == 1
    row = Command.objects.get()
    assert (row.requested_by, row.engine_seq) == (None, None)
    assert row.note == f"schedule {schedule_id}: open at 09:00:00 UTC"
    assert publisher.entries == [(1, bytes(row.payload))]
    assert mark(schedule_id) == NINE
    assert schedules_run(rig, process_ids(), publisher, NINE + SECOND) == 0
    assert sent(symbol) == ["open"]


@database
def test_a_late_occurrence_is_sent_within_the_grace_and_passes_after_it(
    rig: psycopg.Connection,
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.PRE_OPEN)
    other = SymbolFactory.create(code="ETH-USDT", state=SymbolState.PRE_OPEN)
    in_time = plan(symbol, SymbolState.OPEN)
    grace = timedelta(seconds=SCHEDULE_GRACE_S)
    assert run(rig, NINE + grace) == 1
    too_late = plan(other, SymbolState.OPEN)
    assert run(rig, NINE + grace + SECOND) == 0
    assert sent(other) == []
    assert mark(in_time) == mark(too_late) == NINE, "it passes for good"
    assert run(rig, NINE + timedelta(days=1)) == 1
    assert sent(other) == ["open"], "the next day's is sent"


@database
def test_what_is_due_together_goes_out_oldest_first(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    plan(symbol, SymbolState.OPEN, time(9, 0))
    plan(symbol, SymbolState.AUCTION_CUTOFF, time(8, 59))
    plan(symbol, SymbolState.AUCTION, time(8, 55))
    assert run(rig, NINE + SECOND) == 3
    assert sent(symbol) == ["auction", "auction_cutoff", "open"]


@database
def test_an_inactive_schedule_sends_nothing(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    plan(symbol, SymbolState.HALT, is_active=False)
    assert run(rig) == 0
    assert sent(symbol) == []


@database
@pytest.mark.parametrize("state", [SymbolState.HALT, SymbolState.CLOSED])
@pytest.mark.parametrize("wanted", [SymbolState.OPEN, SymbolState.PRE_OPEN, SymbolState.POST_ONLY])
def test_a_schedule_never_ends_a_halt_or_a_closing(
    rig: psycopg.Connection, state: SymbolState, wanted: SymbolState
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=state)
    schedule_id = plan(symbol, wanted)
    assert run(rig) == 0
    assert sent(symbol) == []
    assert mark(schedule_id) == NINE, "and does not wait for the halt to end"


@database
@pytest.mark.parametrize("state", [SymbolState.HALT, SymbolState.CLOSED])
def test_a_schedule_never_ends_a_halt_that_is_on_its_way(
    rig: psycopg.Connection, state: SymbolState
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    plan(symbol, SymbolState.OPEN)
    symbol_state_request(symbol_id=symbol.pk, state=state, requested_by=1, note="odd")
    assert run(rig) == 0
    assert sent(symbol) == [state]


@database
@pytest.mark.parametrize(
    ("state", "is_sent"), [(SymbolState.CANCEL_ONLY, True), (SymbolState.OPEN, False)]
)
def test_a_trading_day_ends_though_an_interruption_pauses_the_market(
    rig: psycopg.Connection, state: SymbolState, is_sent: bool
) -> None:
    """The pause would end by itself, and the market would go on all night."""
    symbol = SymbolFactory.create(code="BTC-USDT", state="halt", interruption_limit_s=30)
    plan(symbol, state)
    assert run(rig) == int(is_sent)
    assert sent(symbol) == [state.value] * is_sent


@database
def test_a_schedule_may_halt(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    plan(symbol, SymbolState.HALT)
    assert run(rig) == 1
    assert sent(symbol) == ["halt"]


@database
def test_a_state_that_holds_already_is_not_sent(rig: psycopg.Connection) -> None:
    """It would end an interruption for volatility that is under way."""
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.OPEN)
    schedule_id = plan(symbol, SymbolState.OPEN)
    assert run(rig) == 0
    assert mark(schedule_id) == NINE


class LookedAt(MemoryPublisher):
    """Asks for a halt from elsewhere at the moment when a schedule's command is announced."""

    def __init__(self, symbol: Symbol) -> None:
        super().__init__()
        self.symbol_id = symbol.pk
        self.asker = threading.Thread(target=self.ask)
        self.was_waiting = False

    def ask(self) -> None:
        try:
            symbol_state_request(
                symbol_id=self.symbol_id, state=SymbolState.HALT, requested_by=1, note="odd"
            )
        finally:
            django_connection.close()

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        self.asker.start()
        self.asker.join(0.3)
        self.was_waiting = self.asker.is_alive()
        super().publish(entries)


@database
def test_a_halt_asked_for_while_a_schedule_is_sent_comes_after_it(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    plan(symbol, SymbolState.OPEN)
    publisher = LookedAt(symbol)
    assert schedules_run(rig, process_ids(), publisher, NINE) == 1
    publisher.asker.join(HANG_S)
    assert publisher.was_waiting, "it waits until the schedule's command is on its way"
    assert sent(symbol) == ["open", "halt"]
    assert symbol_state_ahead(symbol.pk) is SymbolState.HALT


@database
def test_two_processes_at_the_same_moment_send_one_command(rig: psycopg.Connection) -> None:
    symbols = [
        SymbolFactory.create(code=code, state="auction")
        for code in ("BTC-USDT", "ETH-USDT", "XRP-USDT")
    ]
    for symbol in symbols:
        plan(symbol, SymbolState.OPEN)
        plan(symbol, SymbolState.AUCTION_CUTOFF, time(8, 59))
    start = threading.Barrier(4)
    counts: list[int] = []
    publishers = [MemoryPublisher() for _ in range(4)]

    def work(number: int) -> None:
        ids = IdGenerator(900 + number, lambda: int(NINE.timestamp() * 1_000))
        with connect("test-schedules") as own:
            start.wait(HANG_S)
            counts.append(schedules_run(own, ids, publishers[number], NINE))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert sorted(counts) == [0, 0, 0, 6]
    assert sum(len(publisher.entries) for publisher in publishers) == 6
    for symbol in symbols:
        assert sent(symbol) == ["auction_cutoff", "open"]


class Broken(Exception):
    pass


@database
def test_a_run_that_dies_before_its_commit_leaves_all_of_it_to_the_next(
    rig: psycopg.Connection,
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    first = plan(symbol, SymbolState.AUCTION_CUTOFF, time(8, 59))
    plan(symbol, SymbolState.OPEN)
    clock = iter([int(NINE.timestamp() * 1_000)])

    def time_ms() -> int:
        try:
            return next(clock)
        except StopIteration:
            raise Broken from None

    with pytest.raises(Broken):
        schedules_run(rig, IdGenerator(901, time_ms), MemoryPublisher(), NINE)
    assert sent(symbol) == []
    assert mark(first) == NINE - timedelta(hours=1)
    assert run(rig) == 2


@database
@pytest.mark.parametrize(
    "changes",
    [
        {"state": SymbolState.CLOSED},
        {"weekdays": ""},
        {"weekdays": "8"},
        {"on_date": date(2026, 3, 2)},
    ],
)
def test_the_table_refuses_what_no_schedule_may_be(changes: dict[str, object]) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    with pytest.raises(IntegrityError):
        ScheduledState.objects.create(
            **{"symbol": symbol, "state": "open", "at": time(9), "weekdays": "1", **changes}
        )


@database
@pytest.mark.parametrize(
    ("state", "is_sent"), [(SymbolState.CANCEL_ONLY, True), (SymbolState.OPEN, False)]
)
def test_nor_does_it_cut_short_the_auction_after_a_pause(
    rig: psycopg.Connection, state: SymbolState, is_sent: bool
) -> None:
    """Of an interruption both steps end by themselves; an opening would end them early."""
    symbol = SymbolFactory.create(code="BTC-USDT", state="auction", interruption_limit_s=30)
    plan(symbol, state)
    assert run(rig) == int(is_sent)
    assert sent(symbol) == [state.value] * is_sent


@database
def test_an_auction_that_a_schedule_began_is_ended_by_the_next(rig: psycopg.Connection) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state="open", interruption_limit_s=30)
    plan(symbol, SymbolState.AUCTION, time(8, 59))
    plan(symbol, SymbolState.OPEN)
    assert run(rig, NINE - SECOND) == 1
    Command.objects.update(engine_seq=1)
    Symbol.objects.update(state="auction")
    assert run(rig) == 1
    assert sent(symbol) == ["auction", "open"]


class FaultMeanwhile(MemoryPublisher):
    """The worker halts the symbol for a fault while a schedule's command is announced."""

    def __init__(self, symbol: Symbol) -> None:
        super().__init__()
        self.symbol_id = symbol.pk
        self.worker = threading.Thread(target=self.halt)
        self.was_waiting = False

    def halt(self) -> None:
        with connect("test-worker") as connection, connection.transaction():
            halt_request(
                connection, process_ids(), partition_id=1, symbol_id=self.symbol_id, note="a fault"
            )

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        self.worker.start()
        self.worker.join(0.2)
        self.was_waiting = self.worker.is_alive()
        super().publish(entries)


@database
def test_a_halt_by_the_worker_comes_after_a_schedule_that_looked_before_it(
    rig: psycopg.Connection,
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    plan(symbol, SymbolState.OPEN)
    publisher = FaultMeanwhile(symbol)
    assert schedules_run(rig, process_ids(), publisher, NINE) == 1
    publisher.worker.join(30)
    assert publisher.was_waiting
    assert sent(symbol) == ["open", "halt"]


@database
def test_a_schedule_waits_for_a_halt_that_the_worker_is_writing(rig: psycopg.Connection) -> None:
    """It is not there to be seen yet; the opening must not come after it."""
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    plan(symbol, SymbolState.OPEN)
    counts: list[int] = []

    def open_market() -> None:
        with connect("test-schedules") as connection:
            counts.append(run(connection))

    schedules = threading.Thread(target=open_market)
    with connect("test-worker") as connection, connection.transaction():
        halt_request(connection, process_ids(), partition_id=1, symbol_id=symbol.pk, note="a fault")
        schedules.start()
        schedules.join(0.2)
        assert schedules.is_alive()
    schedules.join(30)
    assert counts == [0]
    assert sent(symbol) == ["halt"]
