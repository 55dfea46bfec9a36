"""orders.recording of market states, auctions and interruptions: rows and state channel."""

from decimal import Decimal
from typing import Any

import pytest

from exchange.domain.enums import CommandKind, OrderType, Side, TimeInForce
from matching.engine.messages import AUCTION, HALT, OPEN, PRE_OPEN, SetBand
from orders.commands.build import set_band_command
from orders.intake.jobs import CommandJob
from orders.recording import frames
from tests.factories.partition import Partition

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL


def test_an_auction_from_gathering_to_its_one_price(partition: Partition) -> None:
    partition.send(partition.market.state_job(AUCTION))
    assert (partition.symbol_state(), partition.state()["state"]) == ("auction", "auction")
    assert partition.state()["indicative_price"] is None
    sell, buy = partition.send(partition.plain(0, SELL, 5, 90), partition.plain(1, BUY, 8, 110))
    assert partition.depth() == ([["1.1", "0.008"]], [["0.9", "0.005"]])
    indicated = partition.state()
    assert indicated["indicative_quantity"] == "0.005"
    partition.send(partition.plain(2, BUY, 1, 50))
    assert partition.told(f"{partition.code}@state") == [], "the indication is the same"
    partition.send(partition.market.state_job(OPEN))
    assert partition.status(sell, buy) == ["filled", "partially_filled"]
    assert partition.depth() == ([["1.1", "0.003"]], [["0.9", "0"]])
    opened = partition.state()
    assert (partition.symbol_state(), opened["state"]) == ("open", "open")
    assert (opened["uncross_price"], opened["uncross_quantity"]) == (
        indicated["indicative_price"],
        "0.005",
    )
    assert (opened["indicative_price"], opened["indicative_quantity"]) == (None, None)
    [of_seller] = partition.told(f"account:{partition.market.account_ids[0]}")
    [of_buyer] = partition.told(f"account:{partition.market.account_ids[1]}")
    assert [fill["role"] for fill in of_seller["fills"]] == ["maker"]
    assert [fill["role"] for fill in of_buyer["fills"]] == ["taker"]
    partition.send(partition.market.state_job(PRE_OPEN))
    assert partition.state()["uncross_price"] is None, "that was the auction before"


def test_a_market_order_in_an_auction_keeps_its_bound_and_has_no_price(
    partition: Partition,
) -> None:
    partition.send(partition.market.state_job(AUCTION))
    options: dict[str, Any] = {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    [order] = partition.send(partition.market.place_job(0, BUY, 5, 110, **options))
    row = partition.row(order)
    assert (row["status"], row["price"], row["bound_price"]) == ("open", None, "1.1")
    assert partition.depth() == ([["1.1", "0.005"]], [])
    partition.send(partition.market.state_job(OPEN))
    assert partition.row(order)["reason"] == "order.insufficient_liquidity"
    assert partition.depth() == ([["1.1", "0"]], [])


def test_an_interruption_is_told_step_by_step(partition: Partition) -> None:
    band = CommandJob(
        CommandKind.SET_BAND,
        _band,
        symbol_id=partition.market.symbol_id,
        partition_id=partition.market.partition_id,
    )
    partition.send(band)
    assert partition.state()["reference_price"] == "1"
    partition.send(partition.plain(1, BUY, 5, 110))
    limited = partition.state()
    assert (limited["state"], limited["phase"]) == ("open", "limit")
    assert limited["due_at"] is not None
    assert step(partition) == ("halt", "pause", "halt")
    assert step(partition) == ("auction", "auction", "auction")
    partition.send(partition.plain(2, SELL, 5, 105))
    assert partition.state()["indicative_quantity"] == "0.005"
    assert step(partition) == ("open", "none", "open")
    ended = partition.state()
    assert (ended["due_at"], ended["uncross_quantity"]) == (None, "0.005")
    assert ended["reference_price"] == ended["uncross_price"]


def step(partition: Partition) -> tuple[str, str, str]:
    """Let the next step become due; return what was told of it, and the symbol's row."""
    partition.clock.sleep_ms(2_000)
    partition.turn()
    return partition.state()["state"], partition.state()["phase"], partition.symbol_state()


def _band(*, command_id: int, symbol_id: int) -> SetBand:
    return set_band_command(
        command_id=command_id,
        symbol_id=symbol_id,
        band_ppm=100_000,
        reference_ticks=100,
        move_ppm=10_000,
        move_after_ms=30_000,
        limit_ms=1_000,
        pause_ms=1_000,
        call_ms=1_000,
    )


def test_plain_batches_tell_nothing_of_the_market(partition: Partition) -> None:
    partition.price(100)
    assert partition.told(f"{partition.code}@state") == []
    partition.send(partition.market.state_job(HALT))
    assert partition.state()["state"] == "halt"


def test_a_restarted_worker_knows_what_it_had_told(partition: Partition) -> None:
    partition.send(partition.market.state_job(AUCTION))
    partition.send(partition.plain(0, SELL, 5, 90), partition.plain(1, BUY, 8, 110))
    partition.around.started[-1].kill()
    second = partition.around.start()
    feed = second.loaded.feeds[partition.market.symbol_id]
    assert (feed.market.state, feed.market.indicative_lots) == ("auction", 5)
    partition.turn()  # tells once more what the first one may not have told
    partition.send(partition.plain(2, BUY, 1, 50))
    assert partition.told(f"{partition.code}@state") == []
    assert partition.depth() == ([["0.5", "0.001"]], [])


def test_what_an_auction_gave_is_told_after_a_restart_too(partition: Partition) -> None:
    partition.send(partition.market.state_job(AUCTION))
    partition.send(partition.plain(0, SELL, 5, 90), partition.plain(1, BUY, 8, 110))
    partition.send(partition.market.state_job(OPEN))
    price = partition.state()["uncross_price"]
    assert price is not None
    partition.around.started[-1].kill()
    again = partition.around.start()
    market = again.loaded.feeds[partition.market.symbol_id].market
    assert (market.uncross_ticks, market.uncross_lots) == (
        partition.market.rules.units.price_ticks(Decimal(price)),
        5,
    )
    partition.send(partition.market.state_job(HALT))
    halted = partition.told(f"{partition.code}@state")[-1]  # what was told before may be told again
    assert (halted["state"], halted["uncross_price"]) == ("halt", price)
    assert halted["uncross_quantity"] == "0.005"
    partition.around.started[-1].kill()
    partition.around.start()
    partition.send(partition.market.state_job(PRE_OPEN))
    assert partition.told(f"{partition.code}@state")[-1]["uncross_price"] is None


def test_an_auction_of_very_many_orders_is_indicated_now_and_then(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the last change is told though nothing else happens."""
    monkeypatch.setattr(frames, "INDICATED_AT_ONCE_MAX", 0)
    partition.send(partition.market.state_job(AUCTION))
    partition.clock.sleep_ms(frames.INDICATED_EVERY_MS)
    partition.send(partition.plain(0, Side.BUY, 5, 103), partition.plain(1, Side.SELL, 5, 100))
    assert partition.state()["indicative_quantity"] == "0.005"
    partition.send(partition.plain(0, Side.BUY, 5, 103), partition.plain(1, Side.SELL, 5, 100))
    assert partition.told(f"{partition.code}@state") == []
    partition.clock.sleep_ms(frames.INDICATED_EVERY_MS)
    partition.turn()
    assert partition.state()["indicative_quantity"] == "0.01"
