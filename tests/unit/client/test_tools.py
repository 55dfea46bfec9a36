"""The load generator, the demonstration market and the latency counts, against a paper venue."""

import pytest

from config.demo import market as demo_market
from config.demo.client import Credentials
from config.demo.market import DemoMarket
from tests.lab.bench.load_generator import Load, LoadPlan
from tests.lab.clients.latency import Latencies
from tests.lab.crash.killer import TARGETS, kills_plan
from tests.unit.replay.venue_server import PaperVenue, venue_server


@pytest.mark.parametrize("rate", [0.0, 300.0], ids=["closed loop", "open loop"])
def test_the_load_sends_what_it_says(rate: float) -> None:
    venue = PaperVenue()
    with venue_server(venue) as url:
        plan = LoadPlan(
            url=url,
            symbol="A-B",
            credentials=[(f"key-{number}", "secret") for number in range(4)],
            seconds=0.5,
            rate=rate,
            connections=4,
            trading_share=0.4,
            seed=1,
            mark="x",
        )
        result = Load(plan).run()
    assert result.errors == 0
    assert result.accepted == result.sent == len(venue.orders) > 20
    assert rate == 0 or result.sent == 150
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms
    traded = {name for trade in venue.trades for name in trade[:2]}
    assert 0.2 < len(traded) / result.sent < 0.6


def test_a_busy_answer_counts_as_an_error() -> None:
    with venue_server(PaperVenue(busy_share=0.2, silent_share=0.1)) as url:
        plan = LoadPlan(url, "A-B", [("k", "s"), ("l", "s")], 0.3, 0.0, 2, 0.3, 1, "x")
        result = Load(plan).run()
    assert result.refused["503 engine.busy"] > 0
    assert result.lost > 0
    assert result.errors == result.sent - result.accepted


def test_the_demonstration_fills_its_books_and_tidies_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_market, "FILL_RATE", 5_000.0)
    monkeypatch.setattr(demo_market, "BACKOFF_SECONDS", (0.001, 0.01))
    venue = PaperVenue(busy_share=0.02, silent_share=0.02)
    left_by_an_earlier_run = {
        "symbol": "BTC-USDT",
        "client_order_id": "old",
        "side": "buy",
        "price": "1",
        "quantity": "1",
    }
    with venue_server(venue) as url:
        venue.place(left_by_an_earlier_run)
        market = DemoMarket(
            url, [Credentials("a", "s"), Credentials("b", "s")], seed=3, rate_per_second=2_000
        )
        market.run(2.0)
        market.close()
    assert market.sent > 200
    assert not venue.is_open(1), "the old order was cancelled"
    symbols = {order.get("symbol") for order in venue.orders.values()}
    assert {"BTC-USDT", "ETH-USDT", "ETH-BTC"} <= symbols


def test_percentiles_are_exact_to_a_percent() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1_001):
        latencies.add(milliseconds / 1e3)
    assert latencies.percentile_seconds(50) == pytest.approx(0.5, rel=0.011)
    assert latencies.percentile_seconds(99) == pytest.approx(0.99, rel=0.011)
    assert latencies.percentile_seconds(100) == latencies.max_seconds == 1.0
    assert Latencies().percentile_seconds(99) == 0.0


def test_a_seed_plans_the_same_blows_and_spares_no_target() -> None:
    plan = kills_plan(7, 30)
    assert plan == kills_plan(7, 30)
    assert plan != kills_plan(8, 30)
    assert len(plan) == 30
    assert {kill.target for kill in plan[: len(TARGETS)]} == set(TARGETS)
