"""matching.worker on real rows: faults of the stream do not matter (faults F3 to F20)."""

from dataclasses import replace

import psycopg
import pytest

from exchange.domain.enums import Side
from exchange.domain.symbol_rules import SymbolRules
from exchange.models import Symbol
from exchange.selectors import symbol_rules
from matching.engine.messages import HALT, OPEN, Place
from matching.state.codec import decode_command, encode_command
from matching.state.hash import state_hash
from matching.worker.arrivals import DEGRADED_POLL_MS, SWEEP_AGE_MS, SWEEP_EVERY_MS
from matching.worker.ports import CommitRefused, EngineFailed, LeaseLost
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX
from orders.intake.jobs import PlaceJob
from orders.recovery.lease import lease_release
from tests.factories.market import Market
from tests.factories.worker import Surroundings

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL


def order(db: psycopg.Connection, order_id: int) -> tuple[str, str | None, str, int | None]:
    row = db.execute(
        "SELECT status, reason, trim_scale(filled)::text, engine_seq FROM orders_order"
        " WHERE id = %s",
        (order_id,),
    ).fetchone()
    assert row is not None
    return row


def poison(db: psycopg.Connection, order_id: int) -> None:
    """Impossible input that the database lets through: the engine asserts."""
    db.execute(
        "UPDATE orders_order SET post_only = true, time_in_force = 'ioc' WHERE id = %s", (order_id,)
    )


def trades(db: psycopg.Connection, market: Market) -> list[tuple[int, int, str]]:
    return db.execute(
        "SELECT maker_order_id, taker_order_id, trim_scale(quantity)::text FROM orders_trade"
        " WHERE symbol_id = %s ORDER BY id",
        (market.symbol_id,),
    ).fetchall()


def test_two_orders_meet_and_their_rows_tell(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    buy = market.place(db, 1, BUY, 3, 101)
    around.deliver()
    process = around.start()
    assert process.run() == 2
    assert order(db, sell) == ("partially_filled", None, "0.003", 1)
    assert order(db, buy) == ("filled", None, "0.003", 2)
    assert trades(db, market) == [(sell, buy, "0.003")]
    partition = db.execute(
        "SELECT last_seq, state_hash FROM orders_enginepartition WHERE id = %s",
        (market.partition_id,),
    ).fetchone()
    assert partition == (2, state_hash(process.loaded.engine))
    assert around.feed.notices == 1


def test_doubled_and_garbage_entries_change_nothing(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    [entry] = market.publisher.take()
    unknown = decode_command(entry)
    assert isinstance(unknown, Place)
    unknown.command_id = unknown.order_id = market.ids.next_id()
    around.stream.add(b"\xff garbage", entry, entry, encode_command(unknown), b"")
    process = around.start()
    assert process.run() == 1
    around.stream.add(entry)
    assert process.run() == 0
    assert order(db, sell) == ("open", None, "0", 1)
    assert process.worker.counts.garbage == 2
    assert process.worker.engine.sequence == 1


def test_of_an_entry_only_the_id_is_believed(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    forged = decode_command(market.publisher.take()[0])
    assert isinstance(forged, Place)
    forged.account_id = market.account_ids[1]
    forged.quantity_lots = 5_000
    forged.price_ticks = -1
    around.stream.add(encode_command(forged))
    process = around.start()
    process.run(1)
    resting = process.worker.engine.books[market.symbol_id].orders[sell]
    assert (resting.account_id, resting.quantity_lots, resting.price_ticks) == (
        market.account_ids[0],
        5,
        100,
    )


def test_an_order_that_left_the_grid_is_refused_alone(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    off_grid = market.place(db, 0, SELL, 5, 100)
    good = market.place(db, 0, SELL, 5, 100)
    db.execute("UPDATE orders_order SET price = 1.001 WHERE id = %s", (off_grid,))
    around.deliver()
    process = around.start()
    assert process.run() == 2
    assert order(db, off_grid)[:2] == ("rejected", "engine.fault")
    assert order(db, good)[0] == "open"


def test_lost_entries_are_swept(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    first = market.place(db, 0, SELL, 5, 100)
    second = market.place(db, 0, SELL, 5, 100)
    market.publisher.take()  # lost
    young = process.worker.arrivals.unsequenced.sweep(age_ms=SWEEP_AGE_MS, limit=10)
    assert young == [], "younger rows are most likely still on their way"
    around.clock.sleep_ms(SWEEP_EVERY_MS)
    assert process.run(2) == 2
    assert [order(db, one)[3] for one in (first, second)] == [1, 2]
    assert process.worker.counts.swept == 2


def test_without_the_stream_postgres_is_polled(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    around.stream.is_down = around.feed.is_down = True
    market.place(db, 0, SELL, 5, 100)
    started = around.clock.now_ms()
    while not process.run(1):
        assert around.clock.now_ms() - started < 20 * DEGRADED_POLL_MS
    assert process.worker.is_degraded()


def test_a_stream_that_lost_everything_is_read_from_its_start(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    for _ in range(5):
        market.place(db, 0, SELL, 1, 100)
    around.deliver()
    assert process.run() == 5
    around.stream.wipe()
    around.clock.sleep_ms(1_000)
    lost = market.place(db, 0, SELL, 1, 100)
    around.deliver()  # position 1, below the worker's 5
    around.clock.sleep_ms(SWEEP_EVERY_MS)
    assert process.run() == 1
    assert order(db, lost)[0] == "open"
    market.place(db, 0, SELL, 1, 100)
    around.deliver()
    assert process.run(1) == 1, "read from the stream again, not swept"


def test_a_cancel_before_its_own_order_waits_for_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    sell = market.place(db, 0, SELL, 5, 100)
    market.publisher.take()  # the order's entry is lost, its cancel's arrives
    market.submit(db, market.cancel_job(0, sell))
    around.deliver()
    assert process.run(1) == 2
    assert order(db, sell) == ("cancelled", "order.cancelled_by_user", "0", 1)


def test_a_cancel_that_overtook_its_order_in_the_stream_comes_after_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    market.submit(db, market.cancel_job(0, sell))
    first, second = market.publisher.take()
    around.stream.add(second, first)
    process = around.start()
    assert process.run() == 2
    assert order(db, sell)[0] == "cancelled"


def test_cancel_all_takes_orders_that_were_accepted_before_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    mine = market.place(db, 0, SELL, 5, 100)
    other = market.place(db, 1, SELL, 5, 100)
    market.publisher.take()
    market.submit(db, market.cancel_all_job(0))
    around.deliver()
    process.run(1)
    assert order(db, mine)[:2] == ("cancelled", "order.cancelled_by_cancel_all")
    assert order(db, other)[0] == "new"


def test_a_worker_killed_before_its_commit_leaves_no_trace(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    market.place(db, 0, SELL, 5, 100)
    around.deliver()
    first = around.start("first")
    around.die("before_commit")
    first.kill()
    assert first.worker.engine.sequence == 1
    second = around.start("second")
    assert second.run() == 1
    assert second.worker.engine.sequence == 1


def test_killed_after_commit_the_successor_publishes(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    topic = f"{market.rules.units.code}@depth"
    market.place(db, 0, SELL, 5, 100)
    around.deliver()
    first = around.start("first")
    around.die("after_commit")
    first.kill()
    assert around.feed.frames == []
    second = around.start("second")
    second.run(2)
    [delta] = around.feed.bodies(topic)
    assert (delta["sequence"], delta["asks"]) == (1, [["1", "0.005"]])
    market.place(db, 0, SELL, 1, 200)
    around.deliver()
    second.run(2)
    assert [body["sequence"] for body in around.feed.bodies(topic)] == [1, 2]


def test_frames_wait_in_the_journal_while_the_feed_is_down(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    around.feed.is_down = True
    for _ in range(3):
        market.place(db, 0, SELL, 5, 100)
        around.deliver()
        process.run(1)
        around.clock.sleep_ms(600)
    assert around.feed.frames == []
    around.feed.is_down = False
    around.clock.sleep_ms(60_000)
    process.run(2)
    sequences = [b["sequence"] for b in around.feed.bodies(f"{market.rules.units.code}@depth")]
    assert sequences == list(range(1, len(sequences) + 1))
    assert process.worker.published_seq == 3


def test_a_replaced_worker_writes_nothing_and_ends(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start("first")
    first.run(1)
    db.execute(
        "UPDATE orders_enginepartition SET lease_until = clock_timestamp() - interval '1 ms'"
        " WHERE id = %s",
        (market.partition_id,),
    )
    second = around.start("second")
    sell = market.place(db, 0, SELL, 5, 100)
    around.deliver()
    with pytest.raises(LeaseLost):
        first.run(1)
    assert order(db, sell)[0] == "new"
    assert second.run(1) == 1
    around.clock.sleep_ms(2_000)
    idle = around.clock.now_ms()
    with pytest.raises(LeaseLost):  # idle, it notices at its heartbeat
        first.run(1)
    assert around.clock.now_ms() == idle


def test_the_reloaded_book_has_the_checkpoints_hash(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    orders = [market.place(db, index % 2, SELL, 5 + index, 100 + index) for index in range(6)]
    market.place(db, 2, BUY, 7, 101)
    market.submit(db, market.cancel_job(1, orders[3]))
    market.submit(db, market.amend_job(0, orders[2], SELL, price_ticks=104))
    market.submit(db, market.amend_job(0, orders[4], SELL, quantity_lots=2, keep_priority=True))
    around.deliver()
    first = around.start("first")
    first.run()
    before = state_hash(first.loaded.engine)
    first.kill()
    second = around.start("second")
    assert second.loaded.is_hash_equal
    assert state_hash(second.loaded.engine) == before
    second.loaded.engine.check()


def test_a_book_that_differs_from_its_checkpoint_is_halted_before_it_trades(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    around.deliver()
    first = around.start("first")
    first.run()
    first.kill()
    db.execute("UPDATE orders_order SET quantity = quantity + 0.001 WHERE id = %s", (sell,))
    buy = market.place(db, 1, BUY, 5, 100)
    around.deliver()
    second = around.start("second")
    assert not second.loaded.is_hash_equal
    second.run()
    assert second.worker.engine.books[market.symbol_id].state == HALT
    assert order(db, buy)[:2] == ("rejected", "symbol.halted")
    assert trades(db, market) == []
    state = db.execute("SELECT state FROM exchange_symbol WHERE id = %s", (market.symbol_id,))
    assert state.fetchone() == ("halt",)


def test_a_command_on_which_the_engine_raises_is_refused_and_the_second_halts(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    good = market.place(db, 0, SELL, 5, 100)
    around.deliver()
    for number in (1, 2):
        process = around.start(f"worker {number}")
        poisoned = market.place(db, 0, SELL, 5, 100 + number)
        poison(db, poisoned)
        around.deliver()
        with pytest.raises(EngineFailed):
            process.run()
        process.kill()
        successor = around.start(f"successor {number}")
        successor.run()
        successor.kill()
        assert order(db, poisoned)[:2] == ("rejected", "engine.fault")
    assert order(db, good)[0] == "open"
    last = around.start("last")
    last.run()
    assert last.worker.engine.books[market.symbol_id].state == HALT
    market.submit(db, market.state_job(OPEN))
    around.deliver()
    last.run()
    assert last.worker.engine.books[market.symbol_id].state == OPEN


def spoil(db: psycopg.Connection, order_id: int) -> None:
    """A row whose next fill the database refuses: the engine knows nothing of it."""
    full = "99999999999999999999.999999999999999999"
    db.execute(f"UPDATE orders_order SET filled_quote = {full} WHERE id = %s", (order_id,))


def test_results_that_the_database_refuses_cost_one_command_not_its_batch(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    around.deliver()
    first = around.start("first")
    first.run()
    spoil(db, sell)
    before = [market.place(db, 1, BUY, 1, 50) for _ in range(3)]
    bad = market.place(db, 1, BUY, 1, 100)
    after = [market.place(db, 1, BUY, 1, 51) for _ in range(3)]
    around.deliver()
    with pytest.raises(CommitRefused):
        first.run()
    first.kill()
    assert order(db, before[0])[0] == "new", "nothing of the batch is durable"
    careful = around.start("careful")
    with pytest.raises(EngineFailed):
        careful.run()
    careful.kill()
    assert [order(db, one)[0] for one in before] == ["open"] * 3
    assert order(db, bad)[0] == "new"
    last = around.start("last")
    last.run()
    assert order(db, bad)[:2] == ("rejected", "engine.fault")
    assert [order(db, one)[0] for one in after] == ["open"] * 3
    fault = db.execute("SELECT error FROM orders_enginefault WHERE command_id = %s", (bad,))
    assert "numeric field overflow" in str(fault.fetchone())


def test_care_ends_and_is_not_taken_after_a_clean_stop(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start("first")
    assert first.worker.careful == 0, "nobody was here before"
    first.kill()
    second = around.start("second")
    assert second.worker.careful == COMMANDS_PER_BATCH_MAX
    for _ in range(3):
        market.place(db, 0, SELL, 1, 100)
    around.deliver()
    assert second.run() == 3
    rows = db.execute(
        "SELECT last_seq - first_seq + 1 FROM orders_enginejournal WHERE partition_id = %s",
        (market.partition_id,),
    ).fetchall()
    assert rows == [(1,), (1,), (1,)]
    assert second.worker.careful == COMMANDS_PER_BATCH_MAX - 3
    lease_release(
        second.connection,
        second.lease,
        published_seq=second.worker.published_seq,
        stream_position=second.worker.stream_position,
    )
    assert around.start("third").worker.careful == 0


@pytest.mark.parametrize(
    "damage",
    [
        "price = 1.001",
        "quantity = 0.0055",
        "filled = quantity",
        "priority_seq = NULL",
    ],
)
def test_an_unreadable_resting_order_halts_its_symbol_and_nothing_else(
    around: Surroundings, market: Market, db: psycopg.Connection, damage: str
) -> None:
    """It must not end the process at every start: other symbols share the partition."""
    bad = market.place(db, 0, SELL, 5, 100)
    good = market.place(db, 0, SELL, 5, 101)
    other = sibling_of(market)
    around.deliver()
    market.submit(db, place_on(other, market, SELL, 7, 100))
    around.deliver()
    first = around.start("first")
    first.run()
    first.kill()
    db.execute(f"UPDATE orders_order SET {damage} WHERE id = %s", (bad,))
    for owner in ("second", "third"):
        process = around.start(owner)
        process.run()
        books = process.worker.engine.books
        assert list(books[market.symbol_id].orders) == [good]
        assert books[market.symbol_id].state == HALT
        assert books[other.units.symbol_id].state == OPEN
        process.kill()
    market.submit(db, place_on(other, market, BUY, 7, 100))
    around.deliver()
    around.start("last").run()
    count = db.execute(
        "SELECT count(*) FROM orders_trade WHERE symbol_id = %s", (other.units.symbol_id,)
    )
    assert count.fetchone() == (1,)
    halts = db.execute(
        "SELECT count(*) FROM orders_command WHERE kind = 'set_state' AND partition_id = %s",
        (market.partition_id,),
    )
    assert halts.fetchone() == (1,), "asked for once, not at every start"


def sibling_of(market: Market) -> SymbolRules:
    """Another symbol of the same assets the other way round, in the same partition."""
    symbol = Symbol.objects.select_related("base", "quote").get(pk=market.symbol_id)
    symbol.pk, symbol.base, symbol.quote = None, symbol.quote, symbol.base
    symbol.code = f"{symbol.base.code}-{symbol.quote.code}"
    symbol.save()
    return symbol_rules(symbol)


def place_on(rules: SymbolRules, market: Market, side: Side, lots: int, ticks: int) -> PlaceJob:
    around = replace(market, rules=rules)
    return around.place_job(0 if side is SELL else 1, side, lots, ticks)


def test_a_command_row_that_holds_no_command_is_refused_alone(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    [garbage, strange, halt] = market.submit(
        db, market.cancel_job(0, sell), market.cancel_job(0, sell), market.state_job(HALT)
    )
    db.execute("UPDATE orders_command SET payload = 'xx' WHERE id = ANY(%s)", ([garbage, halt],))
    db.execute(
        "UPDATE orders_command SET payload = (SELECT payload FROM orders_command WHERE id = %s)"
        " WHERE id = %s",
        (garbage, strange),
    )
    around.deliver()
    around.start("by the stream").run()
    refusals = db.execute(
        "SELECT refusal FROM orders_command WHERE partition_id = %s", (market.partition_id,)
    ).fetchall()
    assert refusals == [("engine.fault",)] * 3
    assert order(db, sell)[0] == "open"


def test_a_resume_that_waited_longer_does_not_undo_a_halt(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    market.submit(db, market.state_job(HALT))
    market.submit(db, market.state_job(OPEN))
    market.submit(db, market.state_job(HALT))
    market.publisher.take()
    buy = market.place(db, 1, BUY, 5, 100)
    around.deliver()
    process = around.start()
    process.run()
    assert process.worker.engine.books[market.symbol_id].state == HALT
    assert order(db, buy)[:2] == ("rejected", "symbol.halted")
