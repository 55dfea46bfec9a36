"""orders.recording of plain orders: rows and frames of a batch, order kind by order kind."""

from typing import Any

import psycopg
import pytest

from exchange.domain.enums import OrderType, Side, TimeInForce
from exchange.realtime.frames import decode_frames
from matching.engine.messages import HALT
from matching.state.codec import decode_journal
from matching.worker.ports import EngineFailed
from tests.factories.market import Market
from tests.factories.worker import Surroundings

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL


def run(around: Surroundings) -> None:
    around.deliver()
    if not around.started:
        around.start()
    around.started[-1].run()


def order(db: psycopg.Connection, order_id: int) -> dict[str, Any]:
    names = [
        "status",
        "reason",
        "price",
        "quantity",
        "filled",
        "filled_quote",
        "engine_seq",
        "priority_seq",
    ]
    columns = ", ".join(
        f"trim_scale({name})::text"
        if name in ("price", "quantity", "filled", "filled_quote")
        else name
        for name in names
    )
    row = db.execute(
        f"SELECT {columns}, finished_at IS NOT NULL FROM orders_order WHERE id = %s",
        (order_id,),
    ).fetchone()
    assert row is not None
    return dict(zip([*names, "is_finished"], row, strict=True))


def refusal(db: psycopg.Connection, command_id: int) -> tuple[int | None, str | None]:
    row = db.execute(
        "SELECT engine_seq, refusal FROM orders_command WHERE id = %s", (command_id,)
    ).fetchone()
    assert row is not None
    return row


def test_a_fill_is_told_to_both_sides(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    buy = market.place(db, 1, BUY, 5, 120)
    run(around)
    assert order(db, sell) == {
        "status": "filled",
        "reason": None,
        "price": "1",
        "quantity": "0.005",
        "filled": "0.005",
        "filled_quote": "0.005",
        "engine_seq": 1,
        "priority_seq": 1,
        "is_finished": True,
    }
    code = market.rules.units.code
    [trade] = around.feed.bodies(f"{code}@trade")
    assert (trade["price"], trade["quantity"], trade["taker_side"]) == ("1", "0.005", "buy")
    seller, buyer = (f"account:{account}" for account in market.account_ids[:2])
    [of_sell] = around.feed.bodies(seller)
    [of_buy] = around.feed.bodies(buyer)
    fill = {"trade_id": trade["id"], "price": "1", "quantity": "0.005"}
    assert of_sell["fills"] == [{**fill, "role": "maker"}]
    assert of_buy["fills"] == [{**fill, "role": "taker"}]
    assert of_buy["order"]["id"] == str(buy)
    assert of_buy["order"]["symbol"] == code
    assert of_buy["order"]["average_price"] == "1"
    assert around.feed.bodies(f"{code}@depth") == [], "nothing was ever to be seen at a price"


def test_depth_tells_the_levels_that_changed_and_no_others(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    market.place(db, 0, SELL, 5, 100)
    market.place(db, 0, SELL, 5, 101)
    run(around)
    market.place(db, 0, SELL, 3, 100)  # comes and goes with the next one
    market.place(db, 1, BUY, 8, 100)
    market.place(db, 1, BUY, 2, 90)
    run(around)
    first, second = around.feed.bodies(f"{market.rules.units.code}@depth")
    assert first["asks"] == [["1", "0.005"], ["1.01", "0.005"]]
    assert (second["bids"], second["asks"]) == ([["0.9", "0.002"]], [["1", "0"]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"time_in_force": TimeInForce.IOC}, ("expired", "order.ioc_rest", "0.005")),
        ({"time_in_force": TimeInForce.FOK}, ("expired", "order.fok_unfillable", "0")),
        ({"post_only": True}, ("rejected", "order.post_only_would_take", "0")),
        (
            {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC},
            ("expired", "order.insufficient_liquidity", "0.005"),
        ),
    ],
    ids=["ioc", "fok", "post-only", "market"],
)
def test_an_order_that_may_not_rest_ends_with_its_reason(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    options: dict[str, Any],
    expected: tuple[str, str, str],
) -> None:
    market.place(db, 0, SELL, 5, 100)
    [buy] = market.submit(db, market.place_job(1, BUY, 8, 100, **options))
    run(around)
    row = order(db, buy)
    assert (row["status"], row["reason"], row["filled"]) == expected
    assert row["is_finished"]


@pytest.mark.parametrize(
    ("ticklots", "expected"),
    [(250, ("filled", None, "0.002")), (900, ("expired", "order.insufficient_liquidity", "0.005"))],
    ids=["spent", "book-empty"],
)
def test_a_market_order_by_quote_amount(
    around: Surroundings,
    market: Market,
    db: psycopg.Connection,
    ticklots: int,
    expected: tuple[str, str | None, str],
) -> None:
    market.place(db, 0, SELL, 5, 100)
    options = {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    amount = ticklots * market.rules.units.quote_atoms_per_ticklot
    [buy] = market.submit(db, market.place_job(1, BUY, 0, 110, quote_atoms=amount, **options))
    run(around)
    row = order(db, buy)
    assert (row["status"], row["reason"], row["filled"]) == expected


def test_meeting_ones_own_order_cancels_the_incoming_one(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    mine = market.place(db, 0, SELL, 5, 100)
    also_mine = market.place(db, 0, BUY, 5, 100)
    run(around)
    assert order(db, mine)["status"] == "open"
    assert (order(db, also_mine)["status"], order(db, also_mine)["reason"]) == (
        "cancelled",
        "order.self_trade",
    )


def test_an_amend_rewrites_the_terms_and_the_place_in_the_queue(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    market.place(db, 1, BUY, 2, 100)
    run(around)
    [amend] = market.submit(db, market.amend_job(0, sell, SELL, price_ticks=110, quantity_lots=9))
    run(around)
    row = order(db, sell)
    assert (row["price"], row["quantity"], row["filled"]) == ("1.1", "0.009", "0.002")
    assert (row["status"], row["engine_seq"], row["priority_seq"]) == ("partially_filled", 1, 3)
    assert refusal(db, amend) == (3, None)
    code = market.rules.units.code
    assert around.feed.bodies(f"{code}@depth")[-1]["asks"] == [["1", "0"], ["1.1", "0.007"]]


def test_a_refused_command_keeps_its_reason_and_changes_nothing(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    cancels = [market.submit(db, market.cancel_job(0, sell))[0] for _ in range(2)]
    run(around)
    assert [refusal(db, one) for one in cancels] == [(2, None), (3, "order.not_open")]
    assert order(db, sell)["status"] == "cancelled"


def test_a_halt_is_a_command_and_the_symbols_row_follows(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    resting = market.place(db, 0, SELL, 5, 100)
    run(around)
    market.submit(db, market.state_job(HALT))
    late = market.place(db, 1, BUY, 5, 100)
    cancel = market.submit(db, market.cancel_job(0, resting))[0]
    run(around)
    state = db.execute("SELECT state FROM exchange_symbol WHERE id = %s", (market.symbol_id,))
    assert state.fetchone() == ("halt",)
    assert (order(db, late)["status"], order(db, late)["reason"]) == ("rejected", "symbol.halted")
    assert refusal(db, cancel) == (4, None), "cancels are still taken"


def test_the_journal_tells_the_whole_batch(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    for account in (0, 1, 2):
        market.place(db, account, SELL, 1, 100 + account)
    market.place(db, 1, BUY, 3, 100)
    run(around)
    row = db.execute(
        "SELECT first_seq, last_seq, events, frames, trade_ids, state_hash"
        " FROM orders_enginejournal WHERE partition_id = %s",
        (market.partition_id,),
    ).fetchone()
    assert row is not None
    first, last, events, frames, trade_ids, state_hash = row
    assert (first, last) == (1, 4)
    assert [one.sequence for one in decode_journal(events)] == [1, 2, 3, 4]
    assert decode_frames(frames) == around.feed.frames
    traded = db.execute("SELECT id FROM orders_trade WHERE symbol_id = %s", (market.symbol_id,))
    assert trade_ids == [row[0] for row in traded]
    kept = db.execute(
        "SELECT state_hash FROM orders_enginepartition WHERE id = %s", (market.partition_id,)
    ).fetchone()
    assert kept == (state_hash,)


def test_a_row_that_moved_under_the_worker_stops_the_batch(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    sell = market.place(db, 0, SELL, 5, 100)
    run(around)
    db.execute("UPDATE orders_order SET status = 'cancelled' WHERE id = %s", (sell,))
    buy = market.place(db, 1, BUY, 5, 100)
    around.deliver()
    with pytest.raises(EngineFailed) as failure:
        around.started[-1].run()
    assert "exactly once" in str(failure.value.__cause__)
    around.started[-1].kill()
    assert order(db, buy)["status"] == "new"
    count = db.execute(
        "SELECT count(*) FROM orders_trade WHERE symbol_id = %s", (market.symbol_id,)
    )
    assert count.fetchone() == (0,)
