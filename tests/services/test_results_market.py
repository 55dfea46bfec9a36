"""orders.recording of market states, auctions and interruptions: rows and state channel."""

from decimal import Decimal
from typing import Any

import pytest

from exchange.domain.enums import CommandKind, OrderType, Side, TimeInForce
from matching.engine.messages import AUCTION, HALT, OPEN, PRE_OPEN, SetBand
from orders.commands.build import set_band_command
from orders.intake.jobs import CommandJob
from orders.recording import frames
from tests.factories.desk import Desk

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL


def test_an_auction_from_gathering_to_its_one_price(desk: Desk) -> None:
    desk.send(desk.market.state_job(AUCTION))
    assert (desk.symbol_state(), desk.state()["state"]) == ("auction", "auction")
    assert desk.state()["indicative_price"] is None
    sell, buy = desk.send(desk.plain(0, SELL, 5, 90), desk.plain(1, BUY, 8, 110))
    assert desk.depth() == ([["1.1", "0.008"]], [["0.9", "0.005"]])
    indicated = desk.state()
    assert indicated["indicative_quantity"] == "0.005"
    desk.send(desk.plain(2, BUY, 1, 50))
    assert desk.told(f"{desk.code}@state") == [], "the indication is the same"
    desk.send(desk.market.state_job(OPEN))
    assert desk.status(sell, buy) == ["filled", "partially_filled"]
    assert desk.depth() == ([["1.1", "0.003"]], [["0.9", "0"]])
    opened = desk.state()
    assert (desk.symbol_state(), opened["state"]) == ("open", "open")
    assert (opened["uncross_price"], opened["uncross_quantity"]) == (
        indicated["indicative_price"],
        "0.005",
    )
    assert (opened["indicative_price"], opened["indicative_quantity"]) == (None, None)
    [of_seller] = desk.told(f"account:{desk.market.account_ids[0]}")
    [of_buyer] = desk.told(f"account:{desk.market.account_ids[1]}")
    assert [fill["role"] for fill in of_seller["fills"]] == ["maker"]
    assert [fill["role"] for fill in of_buyer["fills"]] == ["taker"]
    desk.send(desk.market.state_job(PRE_OPEN))
    assert desk.state()["uncross_price"] is None, "that was the auction before"


def test_a_market_order_in_an_auction_keeps_its_bound_and_has_no_price(desk: Desk) -> None:
    desk.send(desk.market.state_job(AUCTION))
    options: dict[str, Any] = {"type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    [order] = desk.send(desk.market.place_job(0, BUY, 5, 110, **options))
    row = desk.row(order)
    assert (row["status"], row["price"], row["bound_price"]) == ("open", None, "1.1")
    assert desk.depth() == ([["1.1", "0.005"]], [])
    desk.send(desk.market.state_job(OPEN))
    assert desk.row(order)["reason"] == "order.insufficient_liquidity"
    assert desk.depth() == ([["1.1", "0"]], [])


def test_an_interruption_is_told_step_by_step(desk: Desk) -> None:
    band = CommandJob(
        CommandKind.SET_BAND,
        _band,
        symbol_id=desk.market.symbol_id,
        partition_id=desk.market.partition_id,
    )
    desk.send(band)
    assert desk.state()["reference_price"] == "1"
    desk.send(desk.plain(1, BUY, 5, 110))
    limited = desk.state()
    assert (limited["state"], limited["phase"]) == ("open", "limit")
    assert limited["due_at"] is not None
    assert step(desk) == ("halt", "pause", "halt")
    assert step(desk) == ("auction", "auction", "auction")
    desk.send(desk.plain(2, SELL, 5, 105))
    assert desk.state()["indicative_quantity"] == "0.005"
    assert step(desk) == ("open", "none", "open")
    ended = desk.state()
    assert (ended["due_at"], ended["uncross_quantity"]) == (None, "0.005")
    assert ended["reference_price"] == ended["uncross_price"]


def step(desk: Desk) -> tuple[str, str, str]:
    """Let the next step become due; return what was told of it, and the symbol's row."""
    desk.clock.sleep_ms(2_000)
    desk.turn()
    return desk.state()["state"], desk.state()["phase"], desk.symbol_state()


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


def test_plain_batches_tell_nothing_of_the_market(desk: Desk) -> None:
    desk.price(100)
    assert desk.told(f"{desk.code}@state") == []
    desk.send(desk.market.state_job(HALT))
    assert desk.state()["state"] == "halt"


def test_a_restarted_worker_knows_what_it_had_told(desk: Desk) -> None:
    desk.send(desk.market.state_job(AUCTION))
    desk.send(desk.plain(0, SELL, 5, 90), desk.plain(1, BUY, 8, 110))
    desk.around.started[-1].kill()
    second = desk.around.start()
    feed = second.loaded.feeds[desk.market.symbol_id]
    assert (feed.market.state, feed.market.indicative_lots) == ("auction", 5)
    desk.turn()  # tells once more what the first one may not have told
    desk.send(desk.plain(2, BUY, 1, 50))
    assert desk.told(f"{desk.code}@state") == []
    assert desk.depth() == ([["0.5", "0.001"]], [])


def test_what_an_auction_gave_is_told_after_a_restart_too(desk: Desk) -> None:
    desk.send(desk.market.state_job(AUCTION))
    desk.send(desk.plain(0, SELL, 5, 90), desk.plain(1, BUY, 8, 110))
    desk.send(desk.market.state_job(OPEN))
    price = desk.state()["uncross_price"]
    assert price is not None
    desk.around.started[-1].kill()
    again = desk.around.start()
    market = again.loaded.feeds[desk.market.symbol_id].market
    assert (market.uncross_ticks, market.uncross_lots) == (
        desk.market.rules.units.price_ticks(Decimal(price)),
        5,
    )
    desk.send(desk.market.state_job(HALT))
    halted = desk.told(f"{desk.code}@state")[-1]  # what was told before may be told again
    assert (halted["state"], halted["uncross_price"]) == ("halt", price)
    assert halted["uncross_quantity"] == "0.005"
    desk.around.started[-1].kill()
    desk.around.start()
    desk.send(desk.market.state_job(PRE_OPEN))
    assert desk.told(f"{desk.code}@state")[-1]["uncross_price"] is None


def test_an_auction_of_very_many_orders_is_indicated_now_and_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the last change is told though nothing else happens."""
    monkeypatch.setattr(frames, "INDICATED_AT_ONCE_MAX", 0)
    desk.send(desk.market.state_job(AUCTION))
    desk.clock.sleep_ms(frames.INDICATED_EVERY_MS)
    desk.send(desk.plain(0, Side.BUY, 5, 103), desk.plain(1, Side.SELL, 5, 100))
    assert desk.state()["indicative_quantity"] == "0.005"
    desk.send(desk.plain(0, Side.BUY, 5, 103), desk.plain(1, Side.SELL, 5, 100))
    assert desk.told(f"{desk.code}@state") == []
    desk.clock.sleep_ms(frames.INDICATED_EVERY_MS)
    desk.turn()
    assert desk.state()["indicative_quantity"] == "0.01"
