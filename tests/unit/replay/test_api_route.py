"""Replay over HTTP: a flow keeps its meaning where answers are late, lost or refused."""

from decimal import Decimal

import pytest

from config.demo.client import Credentials
from config.demo.flow import FlowCommand, FlowTrade
from config.demo.generator import MarketGenerator, MarketShape
from config.demo.responses import Response
from tests.lab.replay import api_route
from tests.lab.replay.api_route import ApiRoute, ReplayFailed
from tests.lab.replay.progress import Pace, Progress
from tests.lab.replay.schedule import Step
from tests.lab.replay.terms import ReplayTerms
from tests.unit.replay.venue_server import PaperVenue, venue_server

SHAPE = MarketShape(
    Decimal(60_000), Decimal("0.01"), Decimal("0.00001"), Decimal("0.02"), open_orders_max=60
)
TERMS = ReplayTerms("BTC-USD", SHAPE.tick, SHAPE.lot, "R1", 2)
KEYS = [Credentials(f"key-{number}", "secret") for number in range(4)]


def recorded(count: int) -> tuple[list[FlowCommand], list[FlowTrade]]:
    market = MarketGenerator(SHAPE, seed=11)
    commands, trades = [], []
    for command in market.commands(count):
        commands.append(command)
        trades += market.trades
    return commands, trades


def as_made(venue: PaperVenue) -> list[tuple[int, int, Decimal, Decimal]]:
    return [
        (TERMS.order_id(maker), TERMS.order_id(taker), price, quantity)
        for maker, taker, price, quantity in venue.trades
    ]


def as_expected(trades: list[FlowTrade]) -> list[tuple[int, int, Decimal, Decimal]]:
    return [
        (
            trade.maker_order_id,
            trade.buy_order_id if trade.taker_side == "buy" else trade.sell_order_id,
            trade.price,
            trade.quantity,
        )
        for trade in trades
    ]


@pytest.mark.parametrize(
    ("busy_share", "silent_share"), [(0.0, 0.0), (0.05, 0.05)], ids=["calm", "faulty"]
)
def test_a_flow_makes_its_trades(
    monkeypatch: pytest.MonkeyPatch, busy_share: float, silent_share: float
) -> None:
    monkeypatch.setattr(api_route, "RETRY_SECONDS", 0.01)
    commands, trades = recorded(800)
    venue = PaperVenue(busy_share=busy_share, silent_share=silent_share)
    promised: list[tuple[Step, int]] = []

    def accepted(step: Step, response: Response) -> None:
        promised.append((step, response.status))

    with venue_server(venue) as url:
        route = ApiRoute(url, TERMS, KEYS, lambda _: True, connections=8, on_accepted=accepted)
        progress = Progress(len(commands), lambda _: None)
        result = route.send(commands, Pace(0.0), progress)
    assert as_made(venue) == as_expected(trades)
    assert len(trades) > 50
    assert len(venue.orders) == sum(command.action == "new" for command in commands)
    assert progress.done == result.sent == len(commands)
    assert result.accepted == len(promised)
    assert result.latencies.count == len(commands)
    assert (result.retried > 0) == (busy_share > 0)
    assert venue.keys == {one.key for one in KEYS}


def test_a_bid_at_zero_is_sent_and_refused() -> None:
    command = FlowCommand(0, "new", 1, "buy", "limit", Decimal(0), Decimal(1))
    with venue_server(PaperVenue()) as url:
        route = ApiRoute(url, TERMS, KEYS, lambda _: True)
        result = route.send(
            [command, FlowCommand(0, "cancel", 1)], Pace(0.0), Progress(2, lambda _: None)
        )
    assert result.accepted == 0
    assert dict(result.refused) == {"order.price_below_min": 1, "order.not_placed": 1}


@pytest.mark.parametrize(
    "late_as", [(422, "order.no_liquidity"), (401, "auth.timestamp_outside_window")]
)
def test_what_comes_a_moment_too_early_or_late_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, late_as: tuple[int, str]
) -> None:
    monkeypatch.setattr(api_route, "RETRY_SECONDS", 0.001)
    commands, trades = recorded(300)
    venue = PaperVenue(late_first=4, late_as=late_as)
    with venue_server(venue) as url:
        route = ApiRoute(url, TERMS, KEYS, lambda _: True, connections=8)
        result = route.send(commands, Pace(0.0), Progress(len(commands), lambda _: None))
    assert as_made(venue) == as_expected(trades)
    assert result.repeated == {f"{late_as[0]} {late_as[1]}": 4}


def test_an_exchange_that_stays_busy_ends_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_route, "RETRY_SECONDS", 0.001)
    commands, _ = recorded(3)
    with venue_server(PaperVenue(busy_share=1.0)) as url:
        route = ApiRoute(url, TERMS, KEYS, lambda _: True, attempts_max=5)
        with pytest.raises(ReplayFailed, match=r"503 engine.busy, 5 times"):
            route.send(commands, Pace(0.0), Progress(3, lambda _: None))
