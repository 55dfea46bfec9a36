"""orders.recording.trailing: where a trailing stop stands, in its row and its owner's frames."""

from typing import Any

import pytest

from exchange.domain.enums import OrderType, Side
from orders.intake.jobs import PlaceJob
from orders.recording import trailing
from orders.recording.trailing import LOOK_EVERY_MS
from tests.factories.advanced_jobs import special_job, stop_job, trailing_job
from tests.factories.partition import Partition

pytestmark = pytest.mark.django_db(transaction=True)

STOP_AT_50 = 50_000  # ppm: the bound is 5 % beyond the stop


def following(partition: Partition, trail_ticks: int = 10, account: int = 0) -> PlaceJob:
    return special_job(
        partition.market,
        account,
        Side.SELL,
        5,
        20,
        type=OrderType.TRAILING_STOP,
        trail_ticks=trail_ticks,
        bound_ppm=STOP_AT_50,
    )


def level(partition: Partition, order_id: int) -> tuple[str | None, str | None]:
    row = partition.db.execute(
        "SELECT trim_scale(trail_stop_price)::text, trim_scale(trail_bound_price)::text"
        " FROM orders_order WHERE id = %s",
        (order_id,),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def told(partition: Partition, account: int = 0) -> list[tuple[Any, Any]]:
    frames = partition.told(f"account:{partition.market.account_ids[account]}")
    keys = ("trail_stop_price", "trail_bound_price")
    return [tuple(one["order"][key] for key in keys) for one in frames]  # type: ignore[misc]


def followed(partition: Partition) -> None:
    """From here on the symbol follows its prices, and has one."""
    partition.send(stop_job(partition.market, 2, Side.SELL, 1, 1))
    partition.price(100)


def test_an_accepted_one_says_where_it_stands(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(following(partition))
    assert level(partition, order) == ("0.9", "0.86")  # 90 ticks, and 85.5 rounded up
    assert told(partition) == [("0.9", "0.86")]


def test_before_its_activation_it_stands_nowhere(partition: Partition) -> None:
    followed(partition)
    job = special_job(
        partition.market,
        0,
        Side.SELL,
        5,
        20,
        type=OrderType.TRAILING_STOP,
        trail_ticks=10,
        activation_ticks=150,
    )
    [order] = partition.send(job)
    assert level(partition, order) == (None, None)
    assert told(partition) == [(None, None)]


def test_a_move_is_told_at_once_and_then_not_too_often(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(following(partition))
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(110)
    assert level(partition, order) == ("1", "0.95")
    assert told(partition) == [("1", "0.95")]
    partition.price(120)
    partition.price(130)
    assert level(partition, order) == ("1", "0.95")
    assert told(partition) == []


def test_the_last_move_is_told_though_nothing_else_happens(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(following(partition))
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(110)
    partition.price(120)
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.turn()
    assert level(partition, order) == ("1.1", "1.05")
    assert told(partition) == [("1.1", "1.05")]
    sequence = partition.sequence()
    partition.clock.sleep_ms(10 * LOOK_EVERY_MS)
    partition.turn(3)
    assert partition.sequence() == sequence, "nothing moved: no more looks"


def test_of_very_many_a_part_is_told_at_a_time(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailing, "TOLD_PER_LOOK_MAX", 2)
    followed(partition)
    orders = partition.send(*(following(partition, trail) for trail in (10, 11, 12, 13, 14)))
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(200)
    moved = [sum(level(partition, one)[0] >= "1.8" for one in orders)]  # type: ignore[operator]
    while moved[-1] < len(orders) and len(moved) < 9:
        partition.clock.sleep_ms(LOOK_EVERY_MS)
        partition.turn()
        moved.append(sum(level(partition, one)[0] >= "1.8" for one in orders))  # type: ignore[operator]
    assert moved == [2, 4, 5]


def test_triggered_it_says_where_it_stood_and_trades_within_its_bound(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(following(partition))
    partition.price(200)
    partition.send(partition.plain(2, Side.BUY, 2, 181), partition.plain(2, Side.BUY, 9, 180))
    partition.price(190)
    assert level(partition, order) == ("1.9", "1.81")
    row = partition.row(order)
    assert (row["status"], row["filled"]) == ("expired", "0.002")
    assert row["reason"] == "order.insufficient_liquidity"
    assert row["bound_price"] == "0.2", "what it came with"


def test_a_new_process_tells_all_of_them_once(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(following(partition))
    partition.price(120)  # too early to be told
    partition.around.started[-1].kill()
    partition.around.start()
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(115)
    assert level(partition, order) == ("1.1", "1.05")


def test_an_order_without_a_distance_keeps_its_bound(partition: Partition) -> None:
    followed(partition)
    [order] = partition.send(trailing_job(partition.market, 0, 5, 10))
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(200)
    assert level(partition, order) == ("1.9", "0.01")


def test_the_reservation_of_a_buy_covers_its_bound_wherever_its_stop_is(
    partition: Partition,
) -> None:
    """docs/adr/0015: the bound only moves to where less money is needed."""
    followed(partition)
    job = special_job(
        partition.market,
        0,
        Side.BUY,
        5,
        115,
        type=OrderType.TRAILING_STOP,
        trail_ticks=10,
        bound_ppm=STOP_AT_50,
    )
    [order] = partition.send(job)
    assert level(partition, order) == ("1.1", "1.15")
    partition.clock.sleep_ms(LOOK_EVERY_MS)
    partition.price(80)
    assert level(partition, order) == ("0.9", "0.94")
    [held] = partition.db.execute(
        "SELECT price_ticks FROM wallets_reservation WHERE order_id = %s", (order,)
    ).fetchall()
    assert held == (115,)
