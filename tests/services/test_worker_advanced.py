"""matching.worker with lists, expiry and work in pieces: losses of the stream do not matter."""

from functools import partial

import psycopg
import pytest

from exchange.domain.enums import CommandKind, ListKind, Side
from matching.engine.cascade import STEPS_PER_COMMAND_MAX
from matching.engine.messages import ALL_ACCOUNTS, Command, Continue, Expire, Place, PlaceList
from matching.state.codec import decode_command, decode_journal, encode_command
from matching.worker.arrivals import DEGRADED_POLL_MS, SWEEP_AGE_MS, SWEEP_EVERY_MS
from matching.worker.ports import EngineFailed
from matching.worker.sequencer import CONTINUES_PER_BATCH_MAX
from orders.commands.build import cancel_all_command
from orders.intake.jobs import CommandJob
from tests.factories.advanced_jobs import (
    cancel_after_job,
    list_job,
    oco_job,
    special_job,
    stop_job,
    submit,
)
from tests.factories.market import Market
from tests.factories.worker import Surroundings
from tests.services.test_worker import place_on, poison, sibling_of

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
FEW_MS = 5


def statuses(db: psycopg.Connection, market: Market) -> list[str]:
    rows = db.execute(
        "SELECT status FROM orders_order WHERE symbol_id = %s ORDER BY id", (market.symbol_id,)
    )
    return [row[0] for row in rows]


def reasons(db: psycopg.Connection, market: Market) -> set[str | None]:
    rows = db.execute("SELECT reason FROM orders_order WHERE symbol_id = %s", (market.symbol_id,))
    return {row[0] for row in rows}


def commands(db: psycopg.Connection, market: Market) -> list[Command]:
    rows = db.execute(
        "SELECT events FROM orders_enginejournal WHERE partition_id = %s ORDER BY last_seq",
        (market.partition_id,),
    )
    return [one.command for (events,) in rows for one in decode_journal(events)]


# --- lists


def test_a_list_whose_entry_is_lost_is_swept_as_a_whole(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(market, db, oco_job(market, 0, 3, 110, 90))
    [lost] = market.publisher.take()
    around.clock.sleep_ms(SWEEP_EVERY_MS)
    assert process.run(1) == 1
    assert commands(db, market) == [decode_command(lost)]
    assert statuses(db, market) == ["open", "waiting"]
    assert process.worker.counts.swept == 1


def test_an_order_of_a_list_is_not_entered_alone_whoever_announces_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(market, db, oco_job(market, 0, 3, 110, 90))
    order_list = decode_command(market.publisher.take()[0])
    assert isinstance(order_list, PlaceList)
    around.stream.add(*(encode_command(place) for place in order_list.orders))
    assert process.run(1) == 0
    assert statuses(db, market) == ["new", "new"]
    around.stream.add(encode_command(order_list))
    assert process.run(1) == 1
    assert statuses(db, market) == ["open", "waiting"]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM orders_orderlist WHERE symbol_id = %s",
        "UPDATE orders_order SET price = 1.001 WHERE type = 'limit' AND symbol_id = %s",
        "UPDATE orders_order SET engine_seq = 1, status = 'rejected'"
        " WHERE type = 'limit' AND symbol_id = %s",
        "DELETE FROM orders_order WHERE type = 'limit' AND symbol_id = %s",
    ],
    ids=["no list", "unreadable", "half sequenced", "half gone"],
)
def test_of_a_list_that_is_not_whole_every_order_is_refused(
    around: Surroundings, market: Market, db: psycopg.Connection, damage: str
) -> None:
    submit(market, db, oco_job(market, 0, 3, 110, 90))
    db.execute(damage, (market.symbol_id,))
    around.deliver()
    around.clock.sleep_ms(SWEEP_AGE_MS)
    process = around.start()
    process.run()
    assert set(statuses(db, market)) == {"rejected"}
    assert "engine.fault" in reasons(db, market)
    assert not process.worker.engine.books[market.symbol_id].orders


def test_a_cancel_that_overtakes_its_list_waits_for_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    job = oco_job(market, 0, 3, 110, 90)
    submit(market, db, job)
    market.publisher.take()
    submit(market, db, market.cancel_job(0, job.places[1].command_id))
    around.deliver()
    assert process.run(1) == 2
    assert statuses(db, market) == ["cancelled", "cancelled"]
    assert reasons(db, market) == {"order.cancelled_by_user", "order.list_other_ended"}


def test_a_list_on_which_the_engine_raises_is_refused_order_by_order(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    job = list_job(
        market,
        0,
        ListKind.OTO,
        special_job(market, 0, BUY, 3, 90),
        special_job(market, 0, SELL, 3, 110),
    )
    submit(market, db, job)
    child_id = job.places[1].command_id
    poison(db, child_id)
    around.deliver()
    process = around.start()
    with pytest.raises(EngineFailed):
        process.run()
    process.kill()
    around.start().run()
    assert statuses(db, market) == ["rejected", "rejected"]
    assert reasons(db, market) == {"engine.fault"}


# --- dependency order with the stream's losses


def cancel_everything(market: Market, *, account_id: int, owner_tag: int = 0) -> CommandJob:
    return CommandJob(
        CommandKind.CANCEL_ALL,
        partial(cancel_all_command, account_id=account_id, owner_tag=owner_tag),
        symbol_id=market.symbol_id,
        partition_id=market.partition_id,
        account_id=account_id,
    )


def test_the_houses_cancel_takes_all_that_was_accepted_before_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(market, db, market.place_job(0, SELL, 5, 100), oco_job(market, 1, 3, 110, 90))
    market.publisher.take()
    submit(market, db, cancel_everything(market, account_id=ALL_ACCOUNTS))
    around.deliver()
    process.run(1)
    assert statuses(db, market) == ["cancelled"] * 3


def test_a_keys_cancel_takes_that_keys_earlier_orders(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(
        market,
        db,
        special_job(market, 0, SELL, 5, 100, owner_tag=7),
        special_job(market, 0, SELL, 5, 100, owner_tag=8),
    )
    market.publisher.take()
    account_id = market.account_ids[0]
    submit(market, db, cancel_everything(market, account_id=account_id, owner_tag=7))
    around.deliver()
    process.run(1)
    assert statuses(db, market) == ["cancelled", "new"]


def test_a_cancel_after_whose_entry_was_lost_does_not_undo_the_one_after_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(market, db, market.place_job(0, SELL, 5, 100))
    submit(market, db, cancel_after_job(market, 0, around.clock.now_ms() + 1_000))
    market.publisher.take()
    submit(market, db, cancel_after_job(market, 0, 0))
    around.deliver()
    process.run(1)
    around.clock.sleep_ms(2_000)
    process.run()
    assert statuses(db, market) == ["open"], "nobody has a cancel-after that was cleared"


def test_a_cancel_after_that_is_late_ends_the_orders_that_were_accepted_before_it(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    process.run(1)
    submit(market, db, market.place_job(0, SELL, 5, 100))
    market.publisher.take()
    submit(market, db, cancel_after_job(market, 0, around.clock.now_ms() - 1))
    around.deliver()
    process.run(2)
    assert statuses(db, market) == ["cancelled"]
    assert reasons(db, market) == {"order.cancelled_by_timer"}


# --- time


def test_an_order_expires_on_time_though_nothing_else_happens(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    expires_ms = around.clock.now_ms() + 777
    submit(market, db, special_job(market, 0, SELL, 5, 100, expire_ms=expires_ms))
    around.deliver()
    process.run(1)
    turns = 0
    while statuses(db, market) == ["open"]:
        assert around.clock.now_ms() <= expires_ms + FEW_MS
        process.worker.step()
        turns += 1
    assert expires_ms <= around.clock.now_ms() <= expires_ms + FEW_MS
    assert statuses(db, market) == ["expired"]
    assert reasons(db, market) == {"order.expired"}
    assert turns < 20, "the clock is not polled for it"
    [expire] = [one for one in commands(db, market) if isinstance(one, Expire)]
    assert expire.time_ms >= expires_ms


def test_without_the_stream_an_order_expires_on_time(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    expires_ms = around.clock.now_ms() + 300
    submit(market, db, special_job(market, 0, SELL, 5, 100, expire_ms=expires_ms))
    around.stream.is_down = around.feed.is_down = True
    turns = 0
    while "expired" not in statuses(db, market):
        process.worker.step()
        turns += 1
        assert around.clock.now_ms() <= expires_ms + FEW_MS
    assert process.worker.is_degraded()
    assert turns < 300 // DEGRADED_POLL_MS + 5


# --- work in pieces


def test_what_is_left_of_a_command_is_done_in_its_batch(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    process = around.start()
    bid = market.place_job(1, BUY, 1_000, 100)
    stops = [stop_job(market, 0, SELL, 1, 100) for _ in range(STEPS_PER_COMMAND_MAX + 20)]
    submit(market, db, bid, *stops)
    around.deliver()
    process.run(1)
    [trade, late] = submit(
        market, db, market.place_job(2, SELL, 1, 100), market.place_job(2, BUY, 1, 50)
    )
    around.deliver()
    assert process.run(1) == 3
    sequenced = commands(db, market)[-3:]
    assert [type(one) for one in sequenced] == [Place, Continue, Place]
    assert [sequenced[0].command_id, sequenced[2].command_id] == [trade, late]
    assert statuses(db, market).count("filled") == len(stops) + 1


def test_a_crowd_holds_up_its_own_symbol_alone(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    crowd = (CONTINUES_PER_BATCH_MAX + 2) * STEPS_PER_COMMAND_MAX
    process = around.start()
    submit(market, db, *(market.place_job(0, SELL, 1, 100) for _ in range(crowd)))
    other = sibling_of(market)
    around.deliver()
    while process.run(1):
        pass
    submit(market, db, cancel_everything(market, account_id=ALL_ACCOUNTS))
    [late, elsewhere] = submit(
        market, db, market.place_job(1, BUY, 1, 50), place_on(other, market, SELL, 7, 100)
    )
    around.deliver()
    around.clock.sleep_ms(1_000)  # the sweep finds what is left as well: it stays one command
    assert process.run(1) == CONTINUES_PER_BATCH_MAX + 2
    first = [one.command_id for one in commands(db, market) if isinstance(one, Place)]
    assert elsewhere in first
    assert late not in first
    assert "open" in statuses(db, market)
    around.clock.sleep_ms(1_000)
    process.run(2)
    sequenced = [one.command_id for one in commands(db, market)]
    assert sequenced[-1] == late
    assert sequenced.count(late) == 1
    assert statuses(db, market) == ["cancelled"] * crowd + ["open"]
