"""orders.recording of the engine's rarer events: triggers, icebergs, lists, expiry."""

from typing import Any

import pytest
from msgspec.structs import replace

from exchange.domain.enums import ListKind, OrderType, SelfTradePrevention, Side, TimeInForce
from matching.engine.cascade import STEPS_PER_COMMAND_MAX
from matching.engine.messages import CLOSED
from matching.worker.ports import CommitRefused, EngineFailed
from orders.intake.jobs import AmendJob, PlaceJob
from orders.validation.amends import AmendTerms
from tests.factories.advanced_jobs import (
    cancel_after_job,
    list_job,
    oco_job,
    special_job,
    stop_job,
    trailing_job,
)
from tests.factories.partition import Partition, stop_limit_job

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL


# --- triggers


def test_a_stop_waits_in_its_row_and_in_no_book(partition: Partition) -> None:
    [stop] = partition.send(stop_limit_job(partition.market, SELL, 5, 80, 90))
    row = partition.row(stop)
    assert (row["status"], row["engine_seq"], row["is_finished"]) == ("waiting", 1, False)
    assert partition.own(0) == [(str(stop), "waiting")]
    assert partition.depth() == ([], [])


def test_a_triggered_limit_order_rests_in_another_orders_row(partition: Partition) -> None:
    [stop] = partition.send(stop_limit_job(partition.market, SELL, 5, 120, 90))
    partition.price(90)
    row = partition.row(stop)
    assert (row["status"], row["priority_seq"]) == ("open", partition.sequence())
    assert (row["price"], row["reference_price"]) == ("1.2", None)
    assert partition.depth() == ([], [["1.2", "0.005"]])
    assert partition.own(0) == [(str(stop), "open")]


def test_a_triggered_market_order_keeps_the_price_that_triggered_it(partition: Partition) -> None:
    [stop] = partition.send(stop_job(partition.market, 0, SELL, 5, 90))
    partition.send(partition.plain(2, BUY, 5, 85))
    partition.price(90)
    row = partition.row(stop)
    assert (row["status"], row["filled"], row["is_finished"]) == ("filled", "0.005", True)
    assert (row["price"], row["bound_price"], row["reference_price"]) == (None, "0.01", "0.9")
    assert partition.depth() == ([["0.85", "0"]], [])
    [frame] = partition.told(f"account:{partition.market.account_ids[0]}")
    assert [(fill["price"], fill["role"]) for fill in frame["fills"]] == [("0.85", "taker")]


def amount_job(partition: Partition, ticklots: int, lots: int = 0) -> PlaceJob:
    job = special_job(
        partition.market,
        0,
        BUY,
        lots,
        150,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        self_trade=SelfTradePrevention.DECREMENT,
    )
    atoms = ticklots * partition.market.rules.units.quote_atoms_per_ticklot
    return replace_draft(job, quote_atoms=0 if lots else atoms)


def replace_draft(job: PlaceJob, **changes: Any) -> PlaceJob:
    job.draft = replace(job.draft, **changes)
    return job


@pytest.mark.parametrize("lots", [0, 5])
def test_what_prevention_took_all_of_ends_with_one_word(partition: Partition, lots: int) -> None:
    """17.9: by quote amount as by quantity."""
    partition.send(partition.plain(0, SELL, 9, 100))
    [order] = partition.send(amount_job(partition, 500, lots))
    row = partition.row(order)
    assert (row["status"], row["reason"], row["filled"]) == ("cancelled", "order.self_trade", "0")


@pytest.mark.parametrize("lots", [0, 5])
def test_what_prevention_took_a_part_of_is_filled_with_the_rest(
    partition: Partition, lots: int
) -> None:
    """17.3: the amount shrinks as the quantity does, and both are filled."""
    partition.send(partition.plain(0, SELL, 2, 100), partition.plain(1, SELL, 9, 100))
    [order] = partition.send(amount_job(partition, 500, lots))
    row = partition.row(order)
    assert (row["status"], row["reason"], row["filled"]) == ("filled", None, "0.003")
    left = partition.db.execute(
        "SELECT coalesce(quantity * 1000, quote_amount * 100000 / 100) FROM orders_order"
        " WHERE id = %s",
        (order,),
    ).fetchone()
    assert left == (3,)


def test_one_batch_may_hold_the_whole_life_of_a_stop(partition: Partition) -> None:
    ids = partition.send(
        partition.plain(2, BUY, 9, 85),
        stop_job(partition.market, 0, SELL, 5, 90),
        partition.plain(1, SELL, 1, 90),
        partition.plain(2, BUY, 1, 90),
    )
    assert partition.status(*ids) == ["partially_filled", "filled", "filled", "filled"]
    assert partition.depth() == ([["0.85", "0.004"]], [])


def test_an_amend_of_what_waits_changes_its_terms_and_nothing_in_the_book(
    partition: Partition,
) -> None:
    [stop] = partition.send(stop_limit_job(partition.market, SELL, 5, 80, 90))
    amend = AmendJob(
        account_id=partition.market.account_ids[0],
        order_id=stop,
        side=SELL,
        rules=partition.market.rules,
        terms=AmendTerms(70, 4, 75),
    )
    partition.send(amend)
    row = partition.row(stop)
    assert (row["status"], row["priority_seq"]) == ("waiting", 2)
    assert (row["price"], row["quantity"], row["stop_price"]) == ("0.7", "0.004", "0.75")
    assert partition.depth() == ([], [])


def test_a_smaller_quantity_leaves_a_waiting_order_waiting(partition: Partition) -> None:
    [stop] = partition.send(trailing_job(partition.market, 0, 5, 10))
    partition.send(partition.market.amend_job(0, stop, SELL, quantity_lots=3))
    row = partition.row(stop)
    assert (row["status"], row["quantity"], row["stop_price"]) == ("waiting", "0.003", None)


def test_a_waiting_order_ends_by_its_cancel_and_shows_nothing(partition: Partition) -> None:
    [stop] = partition.send(stop_limit_job(partition.market, SELL, 5, 80, 90))
    partition.send(partition.market.cancel_job(0, stop))
    assert partition.row(stop)["reason"] == "order.cancelled_by_user"
    assert partition.own(0) == [(str(stop), "cancelled")]
    assert partition.depth() == ([], [])


def test_a_taker_by_quote_amount_beside_triggered_takers_in_one_row(partition: Partition) -> None:
    partition.send(partition.plain(2, SELL, 2, 100), partition.plain(2, SELL, 9, 105))
    [stop] = partition.send(stop_job(partition.market, 0, BUY, 3, 100))
    amount = 250 * partition.market.rules.units.quote_atoms_per_ticklot
    options: dict[str, Any] = {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    [buy] = partition.send(
        partition.market.place_job(1, BUY, 0, 104, quote_atoms=amount, **options)
    )
    assert (partition.row(buy)["status"], partition.row(buy)["filled"]) == ("expired", "0.002")
    assert partition.row(buy)["reason"] == "order.insufficient_liquidity"
    assert (partition.row(stop)["status"], partition.row(stop)["filled"]) == ("filled", "0.003")
    assert partition.depth() == ([], [["1", "0"], ["1.05", "0.006"]])


# --- icebergs, post-only, self-trade


def test_an_iceberg_shows_its_slice_and_takes_new_places(partition: Partition) -> None:
    [iceberg] = partition.send(special_job(partition.market, 0, SELL, 9, 100, display_lots=2))
    assert partition.depth() == ([], [["1", "0.002"]])
    partition.send(partition.plain(1, BUY, 2, 100))
    row = partition.row(iceberg)
    assert (row["status"], row["filled"], row["priority_seq"]) == ("partially_filled", "0.002", 2)
    assert partition.depth() == ([], []), "as much is shown as before"
    partition.send(partition.plain(1, BUY, 1, 100))
    assert partition.depth() == ([], [["1", "0.001"]])
    assert partition.row(iceberg)["priority_seq"] == 2
    partition.send(partition.plain(1, BUY, 6, 100))
    assert partition.depth() == ([], [["1", "0"]])
    assert partition.status(iceberg) == ["filled"]


def test_a_post_only_order_that_was_moved_has_its_new_price(partition: Partition) -> None:
    partition.send(partition.plain(1, SELL, 5, 100))
    [buy] = partition.send(
        special_job(partition.market, 0, BUY, 3, 104, post_only=True, reprice=True)
    )
    assert (partition.row(buy)["status"], partition.row(buy)["price"]) == ("open", "0.99")
    assert partition.depth() == ([["0.99", "0.003"]], [])


def test_a_triggered_post_only_order_that_was_moved_has_its_new_price(partition: Partition) -> None:
    job = special_job(
        partition.market, 0, BUY, 3, 110, type=OrderType.STOP_LIMIT,
        stop_ticks=100, post_only=True, reprice=True,
    )  # fmt: skip
    [stop] = partition.send(job)
    partition.send(partition.plain(1, SELL, 5, 105))
    partition.price(100)
    assert (partition.row(stop)["status"], partition.row(stop)["price"]) == ("open", "1.04")
    assert partition.depth() == ([["1.04", "0.003"]], [])


def prevented(partition: Partition) -> list[tuple[Any, ...]]:
    return partition.db.execute(
        "SELECT engine_seq, trim_scale(price)::text, trim_scale(quantity)::text, mode,"
        " maker_order_id, taker_order_id, maker_account_id, taker_account_id, taker_side"
        " FROM orders_preventedmatch WHERE symbol_id = %s ORDER BY id",
        (partition.market.symbol_id,),
    ).fetchall()


def test_a_decrement_shrinks_both_and_keeps_the_match_on_record(partition: Partition) -> None:
    mode = SelfTradePrevention.DECREMENT
    [maker] = partition.send(special_job(partition.market, 0, SELL, 8, 100, self_trade=mode))
    [taker] = partition.send(special_job(partition.market, 0, BUY, 3, 100, self_trade=mode))
    assert (partition.row(maker)["status"], partition.row(maker)["quantity"]) == ("open", "0.005")
    assert partition.row(taker)["reason"] == "order.self_trade"
    account_id = partition.market.account_ids[0]
    assert prevented(partition) == [
        (2, "1", "0.003", "decrement", maker, taker, account_id, account_id, "buy")
    ]
    assert partition.depth() == ([], [["1", "0.005"]])
    [larger] = partition.send(special_job(partition.market, 0, BUY, 7, 100, self_trade=mode))
    assert partition.status(maker) == ["cancelled"]
    assert (partition.row(larger)["status"], partition.row(larger)["quantity"]) == ("open", "0.002")
    assert partition.depth() == ([["1", "0.002"]], [["1", "0"]])


def test_cancel_resting_ends_the_other_order_in_the_incoming_ones_row(partition: Partition) -> None:
    [resting] = partition.send(partition.plain(0, SELL, 5, 100))
    mode = SelfTradePrevention.CANCEL_RESTING
    [incoming] = partition.send(special_job(partition.market, 0, BUY, 5, 100, self_trade=mode))
    assert partition.status(resting, incoming) == ["cancelled", "open"]
    assert partition.depth() == ([["1", "0.005"]], [["1", "0"]])
    assert [row[3] for row in prevented(partition)] == ["cancel_resting"]


# --- lists, times


def test_a_trade_of_one_ends_the_other_of_a_pair(partition: Partition) -> None:
    partition.send(oco_job(partition.market, 0, 5, 110, 90))
    limit, stop = partition.last_orders(2)
    assert partition.status(limit, stop) == ["open", "waiting"]
    assert partition.depth() == ([], [["1.1", "0.005"]])
    partition.send(partition.plain(1, BUY, 2, 110))
    assert partition.status(limit, stop) == ["partially_filled", "cancelled"]
    assert partition.row(stop)["reason"] == "order.list_other_traded"
    assert partition.depth() == ([], [["1.1", "0.003"]])


def test_the_trigger_of_one_takes_the_other_of_a_pair_out_of_the_book(partition: Partition) -> None:
    partition.send(oco_job(partition.market, 0, 5, 110, 90))
    limit, stop = partition.last_orders(2)
    partition.send(partition.plain(2, BUY, 5, 80))
    partition.price(90)
    assert partition.status(limit, stop) == ["cancelled", "filled"]
    assert partition.depth() == ([["0.8", "0"]], [["1.1", "0"]])


def test_what_its_parent_releases_waits_until_then(partition: Partition) -> None:
    parent = partition.plain(0, BUY, 5, 100)
    child = partition.plain(0, SELL, 5, 120)
    partition.send(list_job(partition.market, 0, ListKind.OTO, parent, child))
    buy, sell = partition.last_orders(2)
    assert partition.status(buy, sell) == ["open", "waiting"]
    assert partition.depth() == ([["1", "0.005"]], [])
    partition.send(partition.plain(1, SELL, 5, 100))
    assert partition.status(buy, sell) == ["filled", "open"]
    assert partition.row(sell)["priority_seq"] == partition.sequence()
    assert partition.depth() == ([["1", "0"]], [["1.2", "0.005"]])


def test_a_refused_list_is_refused_order_by_order(partition: Partition) -> None:
    partition.send(partition.plain(1, SELL, 5, 100))
    parent = special_job(partition.market, 0, BUY, 5, 100, post_only=True)
    partition.send(
        list_job(partition.market, 0, ListKind.OTO, parent, partition.plain(0, SELL, 5, 120))
    )
    reasons = [partition.row(one)["reason"] for one in partition.last_orders(2)]
    assert reasons == ["order.post_only_would_take", "order.list_refused"]
    assert partition.status(*partition.last_orders(2)) == ["rejected", "rejected"]
    assert partition.depth() == ([], [])


def test_an_order_ends_at_its_time_by_a_command_that_has_no_row(partition: Partition) -> None:
    expires_ms = partition.clock.now_ms() + 5_000
    ids = partition.send(
        special_job(partition.market, 0, SELL, 5, 100, expire_ms=expires_ms),
        special_job(
            partition.market, 0, SELL, 5, 80, type=OrderType.STOP_LIMIT, stop_ticks=90,
            expire_ms=expires_ms,
        ),
    )  # fmt: skip
    partition.clock.sleep_ms(6_000)
    partition.turn()
    assert [(row["status"], row["reason"]) for row in map(partition.row, ids)] == [
        ("expired", "order.expired")
    ] * 2
    assert partition.depth() == ([], [["1", "0"]])
    assert partition.sequence() == 3
    counted = partition.db.execute(
        "SELECT count(*) FROM orders_command WHERE symbol_id = %s", (partition.market.symbol_id,)
    )
    assert counted.fetchone() == (0,)


def test_a_cancel_after_is_answered_and_ends_the_orders_as_cancelled(partition: Partition) -> None:
    [resting] = partition.send(partition.plain(0, SELL, 5, 100))
    [setting] = partition.send(
        cancel_after_job(partition.market, 0, partition.clock.now_ms() + 5_000)
    )
    answer = partition.db.execute(
        "SELECT engine_seq, refusal FROM orders_command WHERE id = %s", (setting,)
    )
    assert answer.fetchone() == (2, None)
    partition.clock.sleep_ms(6_000)
    partition.turn()
    row = partition.row(resting)
    assert (row["status"], row["reason"]) == ("cancelled", "order.cancelled_by_timer")


def test_work_in_pieces_ends_every_order_in_some_row(partition: Partition) -> None:
    count = STEPS_PER_COMMAND_MAX + 20
    ids = partition.send(
        *(partition.plain(0, SELL, 1, 100 + number % 7) for number in range(count))
    )
    partition.send(partition.market.state_job(CLOSED))
    partition.turn(3)
    reasons = {(row["status"], row["reason"]) for row in map(partition.row, ids)}
    assert reasons == {("expired", "symbol.closed")}
    assert partition.sequence() == count + 2
    sums: dict[str, str] = {}
    for delta in partition.around.feed.bodies(f"{partition.code}@depth"):
        sums.update(delta["asks"])
    assert set(sums.values()) == {"0"}


# --- O4


def test_a_status_never_moves_against_its_life_cycle(partition: Partition) -> None:
    """O4: by what the row says, not by what the fold believes."""
    [stop] = partition.send(stop_limit_job(partition.market, SELL, 5, 120, 90))
    partition.db.execute(
        "UPDATE orders_order SET status = 'partially_filled' WHERE id = %s", (stop,)
    )
    with pytest.raises((EngineFailed, CommitRefused)) as failure:
        partition.price(90)  # a triggered order becomes open: from partially filled, it cannot
    assert "exactly once" in f"{failure.value} {failure.value.__cause__}"
    assert partition.row(stop)["status"] == "partially_filled"
    assert partition.status(*partition.last_orders(2)) == ["new", "new"], (
        "nothing of the batch is written"
    )
