"""matching.worker's first turns after a failover, with a doubtful book or a new symbol."""

from functools import partial

import psycopg
import pytest

from exchange.domain.enums import CommandKind, Side
from exchange.models import Symbol
from matching.engine.messages import AUCTION, HALT, OPEN
from orders.commands.build import set_band_command
from orders.intake.jobs import CommandJob, Job
from orders.markets.halts import halt_request
from tests.factories.advanced_jobs import cancel_after_job, submit
from tests.factories.market import Market
from tests.factories.worker import Surroundings, WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
PHASE_MS = 1_000


def batch(around: Surroundings, db: psycopg.Connection, process: WorkerProcess, *jobs: Job) -> None:
    submit(around.market, db, *jobs)
    around.deliver()
    process.run(1)


def phase_ends(around: Surroundings, process: WorkerProcess) -> None:
    around.clock.sleep_ms(PHASE_MS + 1)
    process.run(1)


def statuses(db: psycopg.Connection, market: Market) -> list[str]:
    rows = db.execute(
        "SELECT status FROM orders_order WHERE symbol_id = %s ORDER BY id", (market.symbol_id,)
    )
    return [row[0] for row in rows]


def interrupted(around: Surroundings, db: psycopg.Connection) -> WorkerProcess:
    """A worker whose symbol is in the pause of a volatility interruption."""
    market, process = around.market, around.start()
    band = partial(
        set_band_command,
        band_ppm=100_000,
        reference_ticks=100,
        move_ppm=10_000,
        move_after_ms=30_000,
        limit_ms=PHASE_MS,
        pause_ms=PHASE_MS,
        call_ms=PHASE_MS,
    )
    job = CommandJob(
        CommandKind.SET_BAND,
        band,
        symbol_id=market.symbol_id,
        partition_id=market.partition_id,
    )
    batch(around, db, process, job)
    batch(around, db, process, market.place_job(1, BUY, 5, 110))
    phase_ends(around, process)
    assert process.worker.engine.books[market.symbol_id].state == HALT
    return process


def row_spoil(db: psycopg.Connection, market: Market) -> None:
    db.execute(
        "UPDATE orders_order SET owner_tag = 7 WHERE symbol_id = %s AND status = 'open'",
        (market.symbol_id,),
    )


def test_a_doubtful_book_stays_halted_though_an_interruption_would_open_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = interrupted(around, db)
    first.kill()
    row_spoil(db, market)
    second = around.start()
    assert not second.loaded.is_hash_equal
    for _ in range(4):
        phase_ends(around, second)
    assert second.worker.engine.books[market.symbol_id].state == HALT


def test_a_doubtful_book_does_not_trade_in_an_auction_that_is_due(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = interrupted(around, db)
    phase_ends(around, first)
    assert first.worker.engine.books[market.symbol_id].state == AUCTION
    batch(around, db, first, market.place_job(2, SELL, 5, 105))
    first.kill()
    row_spoil(db, market)
    around.clock.sleep_ms(PHASE_MS + 1)
    second = around.start()
    assert not second.loaded.is_hash_equal
    second.run()
    assert second.worker.engine.books[market.symbol_id].state == HALT
    assert statuses(db, market) == ["open", "open"]


def test_a_symbol_whose_first_command_is_a_state_does_not_end_the_worker(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    old = Symbol.objects.get(pk=market.symbol_id)
    new = Symbol.objects.get(pk=market.symbol_id)
    new.pk, new.code, new.base, new.quote = None, "NEW-ONE", old.quote, old.base
    new.save()
    halt_request(db, market.ids, partition_id=market.partition_id, symbol_id=new.pk, note="not yet")
    around.clock.sleep_ms(1_000)
    process.run()
    new.refresh_from_db()
    assert new.state == "halt"
    assert process.worker.engine.books[market.symbol_id].state == OPEN


def test_a_cancel_after_that_was_moved_while_no_worker_ran_does_not_fire(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    start_ms = around.clock.now_ms()
    batch(around, db, first, market.place_job(0, SELL, 5, 100))
    batch(around, db, first, cancel_after_job(market, 0, start_ms + 5_000))
    first.kill()
    around.clock.sleep_ms(4_000)
    submit(market, db, cancel_after_job(market, 0, start_ms + 9_000))
    around.clock.sleep_ms(2_000)
    around.deliver()
    second = around.start()
    second.run()
    assert statuses(db, market) == ["open"], "its owner was told of a later time"
    around.clock.sleep_ms(3_001)
    second.run()
    assert statuses(db, market) == ["cancelled"]


def test_a_cancel_after_that_was_moved_too_late_fires(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    start_ms = around.clock.now_ms()
    batch(around, db, first, market.place_job(0, SELL, 5, 100))
    batch(around, db, first, cancel_after_job(market, 0, start_ms + 5_000))
    first.kill()
    around.clock.sleep_ms(6_000)
    submit(market, db, cancel_after_job(market, 0, start_ms + 20_000))
    around.deliver()
    second = around.start()
    second.run()
    assert statuses(db, market) == ["cancelled"]


def test_a_cancel_after_that_was_moved_to_a_time_that_is_past_fires_for_all_orders_before_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    start_ms = around.clock.now_ms()
    batch(around, db, first, market.place_job(0, SELL, 5, 100))
    batch(around, db, first, cancel_after_job(market, 0, start_ms + 5_000))
    first.kill()
    around.clock.sleep_ms(4_000)
    submit(market, db, market.place_job(0, SELL, 5, 101))
    submit(market, db, cancel_after_job(market, 0, start_ms + 5_500))
    around.clock.sleep_ms(2_000)
    around.deliver()
    second = around.start()
    second.run()
    assert statuses(db, market) == ["cancelled", "cancelled"]


def test_a_cleared_cancel_after_does_not_fire_though_its_entry_was_lost(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    due_ms = around.clock.now_ms() + 5_000
    batch(around, db, process, market.place_job(0, SELL, 5, 100))
    batch(around, db, process, cancel_after_job(market, 0, due_ms))
    around.clock.sleep_ms(4_990)
    submit(market, db, cancel_after_job(market, 0, 0))
    market.publisher.take()
    around.clock.sleep_ms(10)
    process.run()
    assert statuses(db, market) == ["open"]


def test_an_opening_that_waits_does_not_open_a_doubtful_book(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start()
    batch(around, db, first, market.place_job(1, BUY, 5, 110), market.state_job(HALT))
    first.kill()
    row_spoil(db, market)
    submit(market, db, market.state_job(OPEN))
    for _ in range(2):
        process = around.start()
        process.run()
        assert process.worker.engine.books[market.symbol_id].state == HALT
        process.kill()
    [(halts,)] = db.execute(
        "SELECT count(*) FROM orders_command WHERE kind = 'set_state' AND symbol_id = %s",
        (market.symbol_id,),
    )
    assert halts == 3, "the one by hand, the opening, and the one that keeps it from opening"
