"""Recovery of an engine with advanced state: killed anywhere, it goes on the same (B3, D1).

The worker dies after a batch by dropping its memory and its connection. Its engine is kept by the
test: what the successor does is then done with it again, and must give the same.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest

from exchange.domain.enums import ListKind, OrderType, Side, TimeInForce
from exchange.domain.ids import id_time_ms
from matching.engine.cascade import STEPS_PER_COMMAND_MAX
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import AUCTION, CANCEL_ONLY, HALT, OPEN, Continue, Expire
from matching.state.codec import decode_journal, encode_journal
from matching.state.hash import state_hash
from matching.state.snapshot import snapshot_encode
from orders.intake.jobs import Job
from orders.recovery.snapshots import SNAPSHOTS_KEPT, SnapshotWriter
from tests.factories.advanced_jobs import (
    cancel_after_job,
    list_job,
    oco_job,
    special_job,
    stop_job,
    submit,
    trailing_job,
)
from tests.factories.market import Market
from tests.factories.worker import Surroundings, WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
MANY = STEPS_PER_COMMAND_MAX + 50  # more than one command does


def batch(around: Surroundings, db: psycopg.Connection, process: WorkerProcess, *jobs: Job) -> None:
    submit(around.market, db, *jobs)
    around.deliver()
    process.run(1)


def plain(market: Market, account: int, side: Side, lots: int, ticks: int) -> Job:
    return market.place_job(account, side, lots, ticks)


def stops(market: Market) -> list[list[Job]]:
    return [
        [plain(market, 1, SELL, 1, 100), plain(market, 0, BUY, 1, 100)],
        [stop_job(market, 0, BUY, 2, 110), stop_job(market, 0, SELL, 2, 90)],
        [special_job(market, 1, SELL, 3, 95, type=OrderType.STOP_LIMIT, stop_ticks=96)],
        [special_job(market, 1, SELL, 3, 1, type=OrderType.TAKE_PROFIT, stop_ticks=120)],
    ]


def icebergs(market: Market) -> list[list[Job]]:
    return [
        [special_job(market, 0, SELL, 20, 100, display_lots=4), plain(market, 1, SELL, 5, 100)],
        [plain(market, 2, BUY, 7, 100)],  # the first slice, and a part of the other order
        [plain(market, 2, BUY, 3, 100)],
    ]


def lists(market: Market) -> list[list[Job]]:
    def child(ticks: int) -> Any:
        return special_job(market, 0, SELL, 2, ticks)

    return [
        [oco_job(market, 0, 3, 110, 90)],
        [list_job(market, 0, ListKind.OTO, special_job(market, 0, BUY, 4, 95), child(120))],
        [
            list_job(
                market,
                0,
                ListKind.OTOCO,
                special_job(market, 0, BUY, 2, 96),
                child(130),
                stop_job(market, 0, SELL, 2, 80),
            )
        ],
        [plain(market, 1, SELL, 3, 96)],  # fills the third list's parent, and a part of another's
    ]


def cancel_after(market: Market) -> list[list[Job]]:
    now_ms = id_time_ms(market.ids.next_id())
    return [
        [cancel_after_job(market, 0, now_ms + 60_000), cancel_after_job(market, 1, now_ms + 5_000)],
        [special_job(market, 0, SELL, 3, 100, expire_ms=now_ms + 3_000)],
        [plain(market, 1, SELL, 3, 101), cancel_after_job(market, 1, 0)],
    ]


def trailing(market: Market) -> list[list[Job]]:
    return [
        [plain(market, 1, SELL, 1, 100), plain(market, 2, BUY, 1, 100)],
        [trailing_job(market, 0, 3, 5)],
        [plain(market, 1, SELL, 1, 104), plain(market, 2, BUY, 1, 104)],  # it follows to 99
    ]


AFTER_A_BATCH = [stops, icebergs, lists, cancel_after, trailing]


def triggered(market: Market) -> tuple[list[Job], list[Job]]:
    before = [stop_job(market, 0, SELL, 1, 100) for _ in range(MANY)]
    bid = plain(market, 1, BUY, 3 * MANY, 100)
    return [*before, bid], [plain(market, 2, SELL, 1, 100)]


def auction(market: Market) -> tuple[list[Job], list[Job]]:
    crossing = [plain(market, 0, SELL, 1, 100 + n % 3) for n in range(MANY)]
    crossing += [plain(market, 1, BUY, 1, 105 - n % 3) for n in range(MANY)]
    return [market.state_job(AUCTION), *crossing], [market.state_job(OPEN)]


def cancels(market: Market) -> tuple[list[Job], list[Job]]:
    due = id_time_ms(market.ids.next_id()) + 1
    before = [plain(market, 0, SELL, 1, 100 + n) for n in range(MANY)]
    return [*before, cancel_after_job(market, 0, due)], []


def assert_same(first: WorkerProcess, second: WorkerProcess) -> None:
    assert second.loaded.is_hash_equal
    assert second.worker.engine is not first.worker.engine
    assert snapshot_encode(second.worker.engine) == snapshot_encode(first.worker.engine)
    assert state_hash(second.worker.engine) == state_hash(first.worker.engine)
    second.worker.engine.check()


def journal(db: psycopg.Connection, market: Market, after_seq: int) -> list[Sequenced]:
    rows = db.execute(
        "SELECT events FROM orders_enginejournal WHERE partition_id = %s AND last_seq > %s"
        " ORDER BY last_seq",
        (market.partition_id, after_seq),
    )
    return [one for (events,) in rows for one in decode_journal(events)]


def assert_goes_on_the_same(
    db: psycopg.Connection, market: Market, first: WorkerProcess, second: WorkerProcess
) -> None:
    """What the successor did, its predecessor would have done."""
    rows = journal(db, market, first.worker.engine.sequence)
    assert rows, "it went on"
    for row in rows:
        assert first.worker.engine.apply(row.command) == row.events
    assert snapshot_encode(second.worker.engine) == snapshot_encode(first.worker.engine)


def snapshots(db: psycopg.Connection, market: Market) -> list[int]:
    rows = db.execute(
        "SELECT last_seq FROM orders_engineimage WHERE partition_id = %s ORDER BY last_seq",
        (market.partition_id,),
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("scenario", AFTER_A_BATCH)
def test_killed_after_any_batch_the_engine_comes_back_and_goes_on(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    scenario: Callable[[Market], list[list[Job]]],
) -> None:
    process = around.start()
    for jobs in scenario(market):
        batch(around, db, process, *jobs)
        process.kill()
        successor = around.start()
        assert_same(process, successor)
        process = successor
    process.kill()
    last = around.start()
    # Whatever waits for a price is triggered, whatever waits for its time has it.
    around.clock.sleep_ms(70_000)
    batch(around, db, last, plain(market, 1, SELL, 50, 85), plain(market, 2, BUY, 60, 140))
    last.run()
    assert_goes_on_the_same(db, market, process, last)


@pytest.mark.parametrize("scenario", [triggered, auction, cancels])
def test_killed_in_the_middle_of_its_work_it_goes_on_there(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    scenario: Callable[[Market], tuple[list[Job], list[Job]]],
) -> None:
    first = around.start()
    before, last_jobs = scenario(market)
    batch(around, db, first, *before)
    around.clock.sleep_ms(2)
    submit(market, db, *last_jobs)
    around.deliver()
    first.worker.careful = 1  # so that the process dies between a command and its Continue
    around.die("after_commit")
    first.kill()
    assert first.worker.engine.needs_continue(market.symbol_id)
    second = around.start()
    assert_same(first, second)
    assert second.worker.engine.needs_continue(market.symbol_id)
    late = plain(market, 2, BUY, 1, 50)
    batch(around, db, second, late)
    assert not second.worker.engine.needs_continue(market.symbol_id)
    rows = journal(db, market, first.worker.engine.sequence)
    assert type(rows[0].command) is Continue
    assert rows[-1].command.command_id == late.command_id, "after the work that was left"
    assert_goes_on_the_same(db, market, first, second)


def test_the_snapshot_is_written_with_the_batch_that_makes_the_first_advanced_state(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    batch(around, db, process, plain(market, 0, SELL, 1, 100))
    assert snapshots(db, market) == []
    batch(around, db, process, plain(market, 0, SELL, 1, 100), stop_job(market, 0, SELL, 1, 90))
    assert snapshots(db, market) == [3]
    batch(around, db, process, plain(market, 0, SELL, 1, 100))
    assert snapshots(db, market) == [3], "not with every batch"


def test_a_process_writes_one_image_at_first_and_keeps_the_newest(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    for _ in range(SNAPSHOTS_KEPT + 2):
        batch(around, db, process, stop_job(market, 0, SELL, 1, 90))
        process.kill()
        process = around.start()
    sequence = process.worker.engine.sequence
    assert snapshots(db, market) == list(range(sequence - SNAPSHOTS_KEPT + 1, sequence + 1))
    assert SnapshotWriter().due(process.worker.engine)


def last_image_spoil(db: psycopg.Connection, market: Market, count: int = 1) -> None:
    """Snapshots of a version to come."""
    db.execute(
        "UPDATE orders_engineimage SET image = %s WHERE id IN (SELECT id FROM orders_engineimage"
        " WHERE partition_id = %s ORDER BY last_seq DESC LIMIT %s)",
        (msgspec.msgpack.encode([99, 1, []]), market.partition_id, count),
    )


@pytest.mark.parametrize("refused", [1, 2, 3], ids=["newest", "two", "all"])
def test_where_an_image_is_refused_an_older_one_or_the_whole_journal_will_do(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    refused: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = around.start()
    for _ in range(3):
        process.kill()
        process = around.start()
        batch(around, db, process, stop_job(market, 0, SELL, 1, 90), trailing_job(market, 0, 1, 5))
        batch(around, db, process, plain(market, 1, BUY, 1, 95))
    process.kill()
    last_image_spoil(db, market, refused)
    caplog.clear()
    successor = around.start()
    refusals = [one.getMessage() for one in caplog.records if "image_refused" in one.getMessage()]
    assert len(refusals) == refused
    assert all("snapshot version 99; this engine loads 1" in text for text in refusals)
    assert_same(process, successor)
    assert successor.worker.urgent == []


def test_an_image_that_does_not_lead_to_the_checkpoint_is_not_believed(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    for _ in range(2):
        process.kill()
        process = around.start()
        batch(around, db, process, stop_job(market, 0, SELL, 1, 90))
    process.kill()
    empty = Engine()
    empty.sequence = process.worker.engine.sequence
    db.execute(
        "UPDATE orders_engineimage SET image = %s WHERE partition_id = %s AND last_seq = %s",
        (snapshot_encode(empty), market.partition_id, empty.sequence),
    )
    assert_same(process, around.start())


def test_where_only_the_hash_differs_the_engine_is_kept_and_all_is_halted(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    batch(around, db, first, stop_job(market, 0, SELL, 1, 90), plain(market, 0, SELL, 1, 100))
    first.kill()
    db.execute(
        "UPDATE orders_enginepartition SET state_hash = 'another' WHERE id = %s",
        (market.partition_id,),
    )
    second = around.start()
    assert not second.loaded.is_hash_equal
    assert snapshot_encode(second.worker.engine) == snapshot_encode(first.worker.engine)
    second.run()
    assert second.worker.engine.books[market.symbol_id].state == HALT


@pytest.mark.parametrize("has_advanced", [True, False])
def test_a_market_state_that_the_engine_never_entered_halts_the_symbol(
    around: Surroundings, market: Market, db: psycopg.Connection, has_advanced: bool
) -> None:
    first = around.start()
    job = stop_job(market, 0, SELL, 1, 90) if has_advanced else plain(market, 0, SELL, 1, 100)
    batch(around, db, first, job)
    first.kill()
    db.execute("UPDATE exchange_symbol SET state = 'auction' WHERE id = %s", (market.symbol_id,))
    second = around.start()
    second.run()
    assert second.worker.engine.books[market.symbol_id].state == HALT
    row = db.execute("SELECT state FROM exchange_symbol WHERE id = %s", (market.symbol_id,))
    assert row.fetchone() == ("halt",)


def journal_change(db: psycopg.Connection, market: Market) -> None:
    """Let the last batch tell of other events than it had."""
    [(key, events)] = db.execute(
        "SELECT id, events FROM orders_enginejournal WHERE partition_id = %s"
        " ORDER BY last_seq DESC LIMIT 1",
        (market.partition_id,),
    ).fetchall()
    rows = decode_journal(events)
    rows[-1].events.pop()
    db.execute(
        "UPDATE orders_enginejournal SET events = %s WHERE id = %s", (encode_journal(rows), key)
    )


def gap(db: psycopg.Connection, market: Market) -> None:
    db.execute(
        "DELETE FROM orders_enginejournal WHERE partition_id = %s AND last_seq = ("
        " SELECT max(last_seq) FROM orders_enginejournal WHERE partition_id = %s)",
        (market.partition_id, market.partition_id),
    )


def trimmed_and_refused(db: psycopg.Connection, market: Market) -> None:
    last_image_spoil(db, market)
    db.execute(
        "DELETE FROM orders_enginejournal WHERE partition_id = %s AND first_seq = 1",
        (market.partition_id,),
    )


@pytest.mark.parametrize("damage", [journal_change, gap, trimmed_and_refused])
def test_where_nothing_leads_to_the_checkpoint_all_is_halted_and_can_be_cancelled(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    damage: Callable[[psycopg.Connection, Market], None],
) -> None:
    first = around.start()
    [stop] = submit(market, db, stop_job(market, 0, SELL, 1, 90))
    [iceberg] = submit(market, db, special_job(market, 0, SELL, 9, 100, display_lots=2))
    around.deliver()
    first.run(1)
    batch(around, db, first, plain(market, 1, BUY, 3, 100))
    first.kill()
    damage(db, market)
    second = around.start()
    assert not second.loaded.is_hash_equal
    submit(market, db, market.cancel_job(0, stop), plain(market, 1, BUY, 1, 100))
    around.deliver()
    second.run()
    book = second.worker.engine.books[market.symbol_id]
    assert book.state == HALT
    assert list(book.orders) == [iceberg]
    assert book.orders[iceberg].left_lots + book.orders[iceberg].hidden_lots == 6
    rows = db.execute(
        "SELECT status FROM orders_order WHERE symbol_id = %s ORDER BY id", (market.symbol_id,)
    ).fetchall()
    assert [row[0] for row in rows] == ["cancelled", "partially_filled", "filled", "rejected"]
    second.kill()
    third = around.start()
    assert_same(second, third)


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        ("stop", "stop_price = stop_price + 0.01"),
        ("stop", "quantity = quantity + 0.001"),
        ("stop", "bound_price = bound_price + 0.01"),
        ("stop", "status = 'open'"),
        ("stop", "status = 'cancelled'"),
        ("limit", "price = price + 0.01"),
        ("limit", "filled = filled + 0.001"),
        ("limit", "price = 1.001"),
        ("limit", "owner_tag = 7"),
    ],
)
def test_a_changed_row_halts_its_symbol(
    around: Surroundings, market: Market, db: psycopg.Connection, which: str, damage: str
) -> None:
    first = around.start()
    [stop] = submit(market, db, stop_job(market, 0, SELL, 5, 90))
    [limit] = submit(market, db, plain(market, 0, SELL, 5, 100))
    around.deliver()
    first.run()
    first.kill()
    order_id = {"stop": stop, "limit": limit}[which]
    db.execute(f"UPDATE orders_order SET {damage} WHERE id = %s", (order_id,))
    second = around.start()
    assert not second.loaded.is_hash_equal
    [refused] = submit(market, db, plain(market, 1, BUY, 1, 100))
    around.deliver()
    second.run()
    assert second.worker.engine.books[market.symbol_id].state == HALT
    row = db.execute("SELECT status, reason FROM orders_order WHERE id = %s", (refused,))
    assert row.fetchone() == ("rejected", "symbol.halted")


def test_amended_orders_are_what_their_rows_say(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    [stop] = submit(
        market, db, special_job(market, 0, SELL, 5, 89, type=OrderType.STOP_LIMIT, stop_ticks=90)
    )
    [iceberg] = submit(market, db, special_job(market, 0, SELL, 9, 100, display_lots=2))
    around.deliver()
    first.run()
    amend = market.amend_job(0, stop, SELL, price_ticks=85, quantity_lots=4)
    amend.terms = amend.terms._replace(stop_ticks=88)
    other = market.amend_job(0, iceberg, SELL, price_ticks=101)
    other.terms = other.terms._replace(display_lots=3)
    submit(market, db, amend, other)
    around.deliver()
    first.run()
    first.kill()
    assert_same(first, around.start())


def test_states_come_back_from_the_snapshot(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    batch(around, db, first, plain(market, 0, SELL, 5, 100), market.state_job(CANCEL_ONLY))
    first.kill()
    second = around.start()
    assert_same(first, second)
    assert second.worker.engine.books[market.symbol_id].state == CANCEL_ONLY


def test_plain_orders_with_a_key_come_back_from_rows(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    batch(around, db, first, special_job(market, 0, SELL, 5, 100, owner_tag=7))
    assert snapshots(db, market) == []
    first.kill()
    assert_same(first, around.start())


def test_own_commands_that_keep_failing_leave_their_symbol_alone(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    """They have no row to refuse: without this the partition would never start again."""
    expires_ms = around.clock.now_ms() + 1_000
    first = around.start()
    batch(around, db, first, special_job(market, 0, SELL, 5, 100, expire_ms=expires_ms))
    around.clock.sleep_ms(2_000)
    for _ in range(2):
        first.worker.results.record_fault(
            Expire(market.ids.next_id(), expires_ms, market.symbol_id), AssertionError("a bug")
        )
    first.kill()
    second = around.start()
    assert second.loaded.set_aside == {market.symbol_id}
    assert second.loaded.blocked == frozenset()
    second.run()
    commands = [type(row.command) for row in journal(db, market, 1)]
    assert Expire not in commands
    assert second.worker.engine.books[market.symbol_id].state == HALT
    assert len(second.worker.engine.books[market.symbol_id].orders) == 1


def test_a_symbol_whose_work_keeps_failing_is_blocked_and_no_other(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    before, last_jobs = triggered(market)
    batch(around, db, first, *before)
    submit(market, db, *last_jobs)
    around.deliver()
    first.worker.careful = 1
    around.die("after_commit")
    for _ in range(2):
        work = Continue(market.ids.next_id(), 0, market.symbol_id)
        first.worker.results.record_fault(work, AssertionError("a bug"))
    first.kill()
    second = around.start()
    assert second.loaded.blocked == {market.symbol_id}
    [late] = submit(market, db, plain(market, 1, BUY, 1, 50))
    around.deliver()
    around.clock.sleep_ms(1_000)
    assert second.run() == 0, "nothing of it is taken, and the process lives"
    row = db.execute("SELECT status FROM orders_order WHERE id = %s", (late,)).fetchone()
    assert row == ("new",)


def test_a_market_order_that_waits_for_the_auction_comes_back(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    batch(around, db, first, market.state_job(AUCTION), plain(market, 0, SELL, 5, 100))
    job = market.place_job(1, BUY, 3, 150, type=OrderType.MARKET, time_in_force=TimeInForce.IOC)
    batch(around, db, first, job)
    first.kill()
    second = around.start()
    assert_same(first, second)
    batch(around, db, second, market.state_job(OPEN))
    assert_goes_on_the_same(db, market, first, second)
