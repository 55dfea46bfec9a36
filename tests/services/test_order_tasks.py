"""Celery tasks of orders: no commit is missed, and only what is out of date is forgotten."""

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from celery.exceptions import SoftTimeLimitExceeded

from config.celery import app
from exchange.domain.enums import SymbolState
from exchange.infra import metrics
from exchange.infra.database import connect
from exchange.infra.redis import FEED_CHANNEL, commands_stream, redis_client, settle_flag_key
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import BUY, HALT, OPEN, SELL
from matching.state.codec import decode_command
from orders import tasks
from orders.intake.process import intake_stop
from orders.markets.states import symbol_state_request
from orders.models import Command, ScheduledState
from orders.settlement.batch import Idle, SettledBatch, settle_next
from orders.settlement.task import (
    LINGER_FROM_COMMANDS,
    RedisSettlementFlag,
    balance_frames,
    connection_close,
    settle_partition,
    settle_until_idle,
)
from tests.factories.ledger import PARTITION, Rig
from tests.factories.metrics import metric_value
from tests.factories.models import SymbolFactory
from tests.factories.trading import redis_away
from tests.waiting import HANG_S, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SCHEDULES = 1_000


@pytest.fixture
def client():
    client = redis_client()
    client.delete(settle_flag_key(PARTITION))
    yield client
    client.close()


@pytest.fixture
def rig(transactional_db, base_rows):
    with connect("test-tasks") as connection:
        rig = Rig(connection)
        rig.seller, rig.buyer = rig.trader(base="5"), rig.trader(quote="5000")
        yield rig
    connection_close()


def trade(rig):
    rig.place(rig.seller, SELL, 10_000, 1_000)
    rig.place(rig.buyer, BUY, 10_000, 1_000)
    rig.commit()


def cursor_of(rig):
    return rig.connection.execute("SELECT last_seq FROM orders_settlementcursor").fetchone()[0]


def run(step, flag, batches, *, is_over=lambda: False):
    return settle_until_idle(step, flag, settled=batches.append, is_over=is_over)


# --- the flag: the real loop under many schedules, in a world of plain attributes


class Schedule:
    """Runs actors as threads of which one moves at a time; a seed chooses who."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.moved = threading.Semaphore(0)
        self.turns = {}
        self.ended = set()
        self.failures = []

    def start(self, name, body):
        turn = self.turns[name] = threading.Semaphore(0)

        def act():
            turn.acquire()
            try:
                body()
            except AssertionError as error:
                self.failures.append(error)
            self.ended.add(name)
            self.moved.release()

        threading.Thread(target=act, daemon=True).start()

    def pause(self, name):
        """Before each look at something shared: let the schedule choose who goes on."""
        self.moved.release()
        self.turns[name].acquire()

    def play(self):
        while waiting := sorted(self.turns.keys() - self.ended):
            self.turns[self.chance.choice(waiting)].release()
            self.moved.acquire()


class World:
    """Committed and settled events, a cursor with a lock, a flag, and a queue of tasks."""

    COMMITS = 3
    CHILDREN = 2  # runs at the same time, as in a Celery worker

    def __init__(self, seed):
        self.schedule = Schedule(seed)
        self.committed = self.settled = self.tasks_waiting = self.running = self.runs = 0
        self.holder = None
        self.flag = False
        self.schedule.start("committer", self.commit_and_ring)

    def commit_and_ring(self):
        for _ in range(self.COMMITS):
            self.schedule.pause("committer")
            self.committed += 1
            self.schedule.pause("committer")
            was_set, self.flag = self.flag, True
            if not was_set:
                self.tasks_waiting += 1
                self.start_tasks()

    def start_tasks(self):
        while self.tasks_waiting and self.running < self.CHILDREN:
            self.tasks_waiting -= 1
            self.running += 1
            self.runs += 1
            name = f"run-{self.runs}"
            self.schedule.start(name, lambda name=name: self.run(name))

    def run(self, name):
        flag = WorldFlag(self, name)
        settle_until_idle(
            lambda: self.step(name),
            flag,
            settled=lambda _: None,
            is_over=lambda: False,
            linger=(lambda: self.schedule.pause(name))
            if self.schedule.chance.random() < 0.5
            else None,
        )
        self.running -= 1
        self.start_tasks()

    def step(self, name):
        self.schedule.pause(name)
        if self.holder is not None:
            return Idle.LOCKED
        self.holder = name
        self.schedule.pause(name)
        seen = self.committed  # the snapshot of its transaction
        self.schedule.pause(name)
        assert self.settled <= seen
        is_new, self.settled, self.holder = seen > self.settled, seen, None
        first_seq = seen - self.schedule.chance.choice((0, LINGER_FROM_COMMANDS))
        return SettledBatch(PARTITION, first_seq, seen, 1, 7, [], {}) if is_new else Idle.SETTLED


class WorldFlag:
    def __init__(self, world, name):
        self.world, self.name = world, name

    def set(self):
        self.world.schedule.pause(self.name)
        self.world.flag = True

    def clear(self):
        self.world.schedule.pause(self.name)
        was_set, self.world.flag = self.world.flag, False
        return was_set


def test_no_schedule_of_commits_and_runs_loses_a_wake_up():
    """Without any help from beat; a failing seed reproduces."""
    runs: Counter[int] = Counter()
    for seed in range(SCHEDULES):
        world = World(seed)
        world.schedule.play()
        assert world.schedule.failures == [], f"seed {seed}"
        assert world.settled == world.committed == World.COMMITS, f"seed {seed}"
        runs[world.runs] += 1
    assert runs.keys() >= {1, 2, 3}, "the schedules differ"


# --- the flag, real


def test_commit_during_a_run_that_saw_nothing_is_settled_by_it(rig, client):
    """The second run finds the cursor locked and leaves; the first one sees the flag."""
    flag = RedisSettlementFlag(client, PARTITION)
    first: list[SettledBatch] = []
    second: list[SettledBatch] = []
    has_looked: list[bool] = []

    def step_with_a_commit_behind_it():
        with connect("first") as own:
            own.execute("BEGIN")
            outcome = settle_next(own, PARTITION)
            if not has_looked:
                has_looked.append(True)
                assert outcome is Idle.SETTLED
                trade(rig)  # commits after this run looked, before it lets go of the cursor
                run(lambda: settle_next(rig.connection, PARTITION), flag, second)
            own.execute("COMMIT")
            return outcome

    has_more = run(step_with_a_commit_behind_it, flag, first)
    assert has_more is False
    assert second == []
    assert [batch.trades for batch in first] == [1]
    assert cursor_of(rig) == rig.engine.sequence
    assert client.get(settle_flag_key(PARTITION)) is None


def test_run_that_is_out_of_time_says_that_there_is_more(rig, client):
    trade(rig)
    batches: list[SettledBatch] = []
    flag = RedisSettlementFlag(client, PARTITION)
    step = lambda: settle_next(rig.connection, PARTITION)  # noqa: E731 - it is passed on
    assert run(step, flag, batches, is_over=lambda: True) is True
    assert len(batches) == 1


def test_without_redis_a_run_settles_all_the_same(rig):
    nowhere = redis_away()
    trade(rig)
    batches: list[SettledBatch] = []
    run(
        lambda: settle_next(rig.connection, PARTITION),
        RedisSettlementFlag(nowhere, PARTITION),
        batches,
    )
    assert [batch.trades for batch in batches] == [1]


def test_task_settles_and_tells_the_users(rig, client):
    trade(rig)
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(FEED_CHANNEL)
    listener.get_message(timeout=HANG_S)
    settle_partition(PARTITION)
    assert cursor_of(rig) == rig.engine.sequence
    message = listener.get_message(timeout=HANG_S)
    frames = msgspec.msgpack.decode(message["data"], type=list[tuple[str, bytes]])
    bodies = [(topic, msgspec.json.decode(body)) for topic, body in frames]
    assert {topic for topic, _ in bodies} == {
        f"account:{rig.seller}",
        f"account:{rig.buyer}",
    }, "the house is told nothing"
    bought = [b for t, b in bodies if t == f"account:{rig.buyer}" and b["asset"] == "BTC"]
    assert bought == [
        {
            "channel": "balances",
            "type": "balance",
            "asset": "BTC",
            "available": "0.1",
            "reserved": "0",
            "sequence": 1,
        }
    ]
    listener.close()


def test_task_survives_a_time_limit_in_the_middle_of_a_statement(rig, client):
    """The signal's exception comes out of the driver's wait, with the answer still on its way."""
    trade(rig)

    def strike(_number, _frame):
        raise SoftTimeLimitExceeded

    main = threading.get_ident()

    def wait_and_strike():
        with connect("test-watch") as watch:
            waits = (
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'takas-settlement'"
                " AND datname = current_database() AND wait_event_type = 'Lock'"
            )
            wait_until(lambda: watch.execute(waits).fetchone(), "the statement waits")
        signal.pthread_kill(main, signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, strike)
    striker = threading.Thread(target=wait_and_strike)
    try:
        with rig.connection.transaction():
            rig.connection.execute("SELECT 1 FROM wallets_reservation FOR UPDATE")
            striker.start()
            with pytest.raises(SoftTimeLimitExceeded):
                settle_partition(PARTITION)
    finally:
        striker.join(HANG_S)
        signal.signal(signal.SIGUSR2, before)

    def next_task():
        """Of the same process. The server may still be about to notice that the first is gone."""
        settle_partition(PARTITION)
        return cursor_of(rig) == rig.engine.sequence

    wait_until(next_task, "the next tasks settle")


def test_task_survives_a_lost_connection(rig, client):
    trade(rig)
    settle_partition(PARTITION)
    rig.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'takas-settlement' AND datname = current_database()"
    )
    trade(rig)
    with pytest.raises(Exception, match=r"terminat|clos|lost|server"):
        settle_partition(PARTITION)
    settle_partition(PARTITION)  # what beat sends a second later
    assert cursor_of(rig) == rig.engine.sequence


def test_frames_leave_out_the_house(rig):
    trade(rig)
    batch = settle_next(rig.connection, PARTITION)
    assert isinstance(batch, SettledBatch)
    assert len(batch.balances) == 5
    assert len(balance_frames(batch)) == 4
    assert balance_frames(replace(batch, balances=[])) == []


def test_beat_measures_the_lag_and_makes_missing_cursors(rig):
    rig.connection.execute("DELETE FROM orders_settlementcursor")
    tasks.settle_all()
    assert cursor_of(rig) == 0
    lag = metric_value(metrics.SETTLEMENT_LAG.labels(PARTITION))
    assert lag == 0


# --- forgetting


def claims(rig):
    return {
        row[0]
        for row in rig.connection.execute("SELECT order_id FROM orders_clientorderid").fetchall()
    }


def test_client_order_ids_are_kept_while_the_order_lives_and_a_day_after(rig):
    ended_long_ago = rig.place(rig.buyer, BUY, 9_000, 1_000)
    ended_today = rig.place(rig.buyer, BUY, 9_000, 1_000)
    alive = rig.place(rig.buyer, BUY, 9_000, 1_000)
    rig.cancel(ended_long_ago)
    rig.cancel(ended_today)
    rig.commit()
    for order_id, age in (
        (ended_long_ago, timedelta(hours=25)),
        (ended_today, timedelta(hours=23)),
    ):
        rig.connection.execute(
            "UPDATE orders_order SET finished_at = %s WHERE id = %s",
            (datetime.now(UTC) - age, order_id),
        )
    later_ms = int(
        (time.time() + 48 * 3_600) * 1_000
    )  # so that none of them is too young to look at
    assert tasks.client_order_ids_forget(rig.connection, later_ms) == 1
    assert claims(rig) == {ended_today, alive}
    assert tasks.client_order_ids_forget(rig.connection, later_ms) == 0


def test_forgetting_walks_page_by_page(rig, monkeypatch):
    orders = [rig.place(rig.buyer, BUY, 9_000, 100) for _ in range(7)]
    for order_id in orders[:5]:
        rig.cancel(order_id)
    rig.commit()
    rig.connection.execute(
        "UPDATE orders_order SET finished_at = now() - interval '2 days'"
        " WHERE finished_at IS NOT NULL"
    )
    monkeypatch.setattr(tasks, "ROWS_PER_DELETE", 2)
    assert tasks.client_order_ids_forget(rig.connection, int((time.time() + 10**6) * 1_000)) == 5
    assert claims(rig) == set(orders[5:])


def test_task_forgets_under_its_lock(rig):
    assert tasks.forget_client_order_ids() == 0


def test_journal_keeps_what_is_young_unsettled_unpublished_or_unaudited(rig):
    for _ in range(4):
        rig.place(rig.buyer, BUY, 9_000, 100)
        rig.commit()
    rig.settle()

    def remaining():
        rows = rig.connection.execute("SELECT last_seq FROM orders_enginejournal ORDER BY 1")
        return [row[0] for row in rows.fetchall()]

    assert tasks.journal_rows_trim(rig.connection, 30) == 0  # not audited, and young
    rig.connection.execute(
        "INSERT INTO wallets_auditmark (name, value, updated_at) VALUES ('journal:1', 4, now())"
    )
    assert tasks.journal_rows_trim(rig.connection, 30) == 0
    rig.connection.execute(
        "UPDATE orders_enginejournal SET created_at = now() - interval '31 days'"
    )
    rig.connection.execute("UPDATE orders_settlementcursor SET last_seq = 1")
    assert tasks.journal_rows_trim(rig.connection, 30) == 0  # 2 to 4 are not settled
    rig.connection.execute("UPDATE orders_settlementcursor SET last_seq = 2")
    assert tasks.journal_rows_trim(rig.connection, 30) == 1
    assert remaining() == [2, 3, 4]
    rig.connection.execute("UPDATE orders_settlementcursor SET last_seq = 4")
    rig.connection.execute("UPDATE orders_enginepartition SET published_seq = 3")
    assert tasks.journal_rows_trim(rig.connection, 30) == 1
    assert remaining() == [3, 4]
    rig.connection.execute("UPDATE orders_enginepartition SET published_seq = 4")
    assert tasks.journal_rows_trim(rig.connection, 30) == 1
    assert remaining() == [4]  # the last one always stays


# --- what the clock and the audit ask for


@pytest.fixture
def symbol(transactional_db, base_rows):
    catalogue_forget()
    yield SymbolFactory.create(code="BTC-USDT", state="auction", band_ppm=50_000, open_orders_max=0)
    connection_close()
    intake_stop()


def states_sent():
    rows = Command.objects.filter(kind="set_state").order_by("pk")
    return [decode_command(bytes(row.payload)).state for row in rows]


def test_freezing_halts_once_and_says_why(symbol):
    assert tasks.symbols_freeze([symbol.code, "NO-PE"], "L3 is broken" + "!" * 300) == 1
    assert states_sent() == [HALT]
    assert Command.objects.get().note == ("L3 is broken" + "!" * 300)[:200]
    assert tasks.symbols_freeze([symbol.code], "again") == 0, "a halt is on its way"


def test_freezing_does_not_wait_for_another_change_of_state(symbol):
    """An opening that is under way would leave a broken market open for a minute more."""
    symbol_state_request(symbol_id=symbol.pk, state=SymbolState.OPEN, requested_by=1, note="nine")
    assert tasks.symbols_freeze([symbol.code], "L3 is broken") == 1
    assert states_sent() == [OPEN, HALT]


def test_freezing_halts_a_market_that_is_halted_for_a_moment_only(symbol):
    """The pause of an interruption ends by itself: nobody asked for that halt."""
    symbol_state_request(symbol_id=symbol.pk, state=SymbolState.OPEN, requested_by=1, note="nine")
    Command.objects.update(engine_seq=1)
    Symbol.objects.update(state="halt", interruption_limit_s=30)
    assert tasks.symbols_freeze([symbol.code], "L3 is broken") == 1
    assert states_sent() == [OPEN, HALT]
    Command.objects.update(engine_seq=2)
    assert tasks.symbols_freeze([symbol.code], "L3 is broken") == 0, "this halt stays"


@pytest.mark.parametrize("state", ["halt", "closed"])
def test_freezing_leaves_alone_what_does_not_trade(symbol, state):
    Symbol.objects.update(state=state)
    assert tasks.symbols_freeze([symbol.code], "L3 is broken") == 0
    assert states_sent() == []


def test_the_clock_sends_a_state_once(symbol, client):
    client.delete(commands_stream(1))
    now = datetime.now(UTC)
    ScheduledState.objects.create(
        symbol=symbol, state="open", at=now.time(), on_date=now.date(), last_due_at=None
    )
    assert tasks.schedules_run_now() == 1
    assert tasks.schedules_run_now() == 0
    assert states_sent() == [OPEN]
    [(_, entry)] = client.xrange(commands_stream(1))
    assert entry[b"c"] == bytes(Command.objects.get().payload)


def test_every_minute_the_engine_is_told_what_it_does_not_know(symbol):
    assert tasks.symbol_rules_send_all() == 2
    assert tasks.symbol_rules_send_all() == 0
    kinds = Command.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["set_feature", "set_band"]


def test_beat_sends_only_tasks_that_exist():
    app.loader.import_default_modules()
    wanted = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert {"orders.tasks.schedules_run", "orders.tasks.symbol_rules_send_all"} <= wanted
    assert wanted <= set(app.tasks)


def test_journal_keeps_what_an_engine_comes_back_from(rig):
    for _ in range(4):
        rig.place(rig.buyer, BUY, 9_000, 100)
        rig.commit()
    rig.settle()
    rig.connection.execute(
        "INSERT INTO wallets_auditmark (name, value, updated_at) VALUES ('journal:1', 4, now())"
    )
    rig.connection.execute(
        "UPDATE orders_enginejournal SET created_at = now() - interval '31 days'"
    )
    rig.connection.execute("UPDATE orders_enginepartition SET published_seq = 4")
    rig.connection.execute(
        "INSERT INTO orders_engineimage (partition_id, last_seq, image, created_at)"
        " VALUES (1, 2, '', now()), (1, 3, '', now())"
    )
    assert tasks.journal_rows_trim(rig.connection, 30) == 2
    rows = rig.connection.execute("SELECT last_seq FROM orders_enginejournal ORDER BY 1")
    assert [row[0] for row in rows.fetchall()] == [3, 4]
