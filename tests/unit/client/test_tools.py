"""The load generator, the demonstration market and the latency counts, against a paper venue."""

from array import array

import msgspec
import pytest

from config.demo import market as demo_market
from config.demo.client import Credentials
from config.demo.market import DemoMarket
from tests.lab.bench.load_generator import Load, LoadPlan, Phase
from tests.lab.bench.requests import MIXES, Market, Mix, Requests
from tests.lab.clients.latency import Latencies
from tests.lab.crash.killer import TARGETS, kills_plan
from tests.unit.replay.venue_server import PaperVenue, venue_server


def _plan(url: str, *phases: Phase, connections: int = 4, mix: Mix = MIXES["places"]) -> LoadPlan:
    return LoadPlan(
        url=url,
        market=Market(["A-B"]),
        credentials=[(f"key-{number}", "secret") for number in range(4)],
        phases=list(phases),
        connections=connections,
        trading_share=0.4,
        seed=1,
        mark="x",
        mix=mix,
    )


@pytest.mark.parametrize("rate", [0.0, 300.0], ids=["closed loop", "open loop"])
def test_the_load_sends_what_it_says(rate: float) -> None:
    venue = PaperVenue()
    with venue_server(venue) as url:
        result = Load(_plan(url, Phase(0.5, rate))).run()
    assert result.errors == 0
    assert result.accepted == result.sent == result.orders == len(venue.orders) > 20
    assert sorted(array("Q", result.order_ids)) == sorted(venue.orders)
    assert rate == 0 or result.sent == 150
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms
    traded = {name for trade in venue.trades for name in trade[:2]}
    assert 0.2 < len(traded) / result.sent < 0.6


def test_a_busy_answer_counts_as_an_error() -> None:
    with venue_server(PaperVenue(busy_share=0.2, silent_share=0.1)) as url:
        result = Load(_plan(url, Phase(0.3), connections=2)).run()
    assert result.untold == result.refused["503 engine.busy"] > 0
    assert result.lost > 0
    assert result.errors == result.sent - result.accepted


def test_bots_cancel_and_amend_their_own_open_orders() -> None:
    venue = PaperVenue()
    mix = Mix(cancels=0.25, amends=0.35, open_min=20)
    with venue_server(venue) as url:
        result = Load(_plan(url, Phase(1.0, 500.0), mix=mix)).run()
    assert result.errors == 0, result.refused
    commands = len(result.command_ids) // 8
    assert result.orders == len(venue.orders)
    assert result.orders + commands == result.sent == 500
    assert 0.4 < commands / result.sent < 0.6


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """The venue keeps the only connection for 0.3 s; what was due meanwhile has waited for it."""
    with venue_server(PaperVenue(first_seconds=0.3)) as url:
        result = Load(_plan(url, Phase(0.4, 100.0), connections=1)).run()
    assert result.accepted == result.sent == 40
    assert result.p50_ms >= 100.0  # twenty of forty were due in the first 0.2 s


def test_what_finds_no_connection_in_time_is_not_sent() -> None:
    with venue_server(PaperVenue(first_seconds=0.3)) as url:
        plan = _plan(url, Phase(0.2, 100.0), Phase(0.3, 10.0), connections=1)
        plan.patience_seconds = 0.05
        result = Load(plan).run()
    assert result.given_up >= 10
    assert result.sent + result.given_up == 23
    assert result.errors == result.given_up


def test_each_part_of_a_run_has_counts_of_its_own() -> None:
    with venue_server(PaperVenue()) as url:
        result = Load(_plan(url, Phase(1.0, 100.0), Phase(1.0, 20.0))).run()
    assert [(one.from_second, one.accepted) for one in result.windows] == [(0.0, 100), (1.0, 20)]


def test_a_stream_of_requests_is_the_same_for_the_same_seed() -> None:
    def bodies(seed: int) -> list[bytes]:
        market = Market(["A-B", "C-D"], levels=3, walk_ticks=5, drift_ticks=-0.5)
        stream = Requests(market, Mix(), users=4, trading_share=0.3, seed=seed, mark="x")
        return [stream.next().body for _ in range(100)]

    assert bodies(1) == bodies(1) != bodies(2)
    assert sum(b"C-D" in body for body in bodies(1)) == 50


def test_the_batches_of_a_stream_take_turns_at_both_sides() -> None:
    stream = Requests(
        Market(["A-B", "C-D"]), Mix(), users=4, trading_share=0.3, seed=1, mark="x", batch=10
    )
    batches = [stream.next() for _ in range(8)]
    orders = [msgspec.json.decode(one.body)["orders"] for one in batches]
    assert [{order["side"] for order in batch} for batch in orders] == [{"buy"}, {"sell"}] * 4
    assert [one.user for one in batches] == [1, 3, 0, 2] * 2, "a user buys, or sells"
    every = [order for batch in orders for order in batch]
    assert len({order["client_order_id"] for order in every}) == 80
    assert [order["symbol"] for order in every] == ["C-D", "A-B"] * 40
    meeting = [order for order in every if order["price"] == "1000.00"]
    assert 10 < len(meeting) < 40


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


def test_the_demonstration_signs_again_what_came_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_market, "BACKOFF_SECONDS", (0.001, 0.01))
    venue = PaperVenue(late_first=3, late_as=(401, "auth.timestamp_outside_window"))
    with venue_server(venue) as url:
        market = DemoMarket(url, [Credentials("a", "s")], seed=3, rate_per_second=2_000)
        market.run(0.5)
        market.close()
    assert venue.late_first == 0
    placed = {order["client_order_id"].rpartition(".")[2] for order in venue.orders.values()}
    assert "1" in placed, "the first order is there, though it was refused three times"


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
