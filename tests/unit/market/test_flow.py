"""Recordings of a market: round trip, wrong lines, extent; and generated markets."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.demo.flow import FlowCommand, FlowTrade
from config.demo.generator import MarketGenerator, MarketShape
from tests.lab.replay.comparison import trades_compare
from tests.lab.replay.flow import (
    FlowError,
    flow_measure,
    flow_read,
    flow_write,
    trades_read,
    trades_write,
)

SHAPE = MarketShape(Decimal(60_000), Decimal("0.01"), Decimal("0.00001"), Decimal("0.02"))
HEADER = "time_ms,action,order_id,side,type,price,quantity,quote_amount\n"


def trade(number: int) -> FlowTrade:
    return FlowTrade(0, Decimal(100 + number), Decimal(1), number, number + 1, "buy")


@pytest.mark.parametrize("name", ["flow.csv", "flow.csv.gz"])
def test_a_flow_reads_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    commands = [
        FlowCommand(0, "new", 1, "buy", "limit", Decimal("10.50"), Decimal("0.00000001")),
        FlowCommand(-1_869, "new", 2, "sell", "post_only", Decimal(11), Decimal("1e3")),
        FlowCommand(5, "new", 3, "buy", "market", None, None, Decimal(100)),
        FlowCommand(6, "cancel", 1),
    ]
    assert flow_write(tmp_path / name, commands) == 4
    assert list(flow_read(tmp_path / name)) == commands


def test_the_extent_of_a_flow(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(
        HEADER + "0,new,5,buy,limit,10.50,2,\n0,new,7,sell,limit,400,0.250,\n1,cancel,5,,,,,\n"
    )
    extent = flow_measure(path)
    assert (extent.commands, extent.orders, extent.cancels) == (3, 2, 1)
    assert (extent.tick, extent.lot) == (Decimal("0.1"), Decimal("0.01"))
    assert (extent.price_max, extent.quantity_max) == (Decimal(400), Decimal(2))
    assert (extent.notional_bound, extent.quantity_total) == (Decimal(21), Decimal("0.25"))
    assert extent.is_cancelled(5)
    assert not extent.is_cancelled(7)
    assert not extent.is_cancelled(9)


@pytest.mark.parametrize(
    "line",
    [
        "0,new,1,buy,limit,10,1",
        "0,amend,1,buy,limit,10,1,",
        "0,new,1,bid,limit,10,1,",
        "0,new,1,buy,limit,,1,",
        "0,new,1,buy,market,10,1,",
        "0,new,1,buy,limit,10,,",
        "0,new,1,buy,limit,10,-1,",
        "0,new,1,buy,limit,ten,1,",
        "x,cancel,1,,,,,",
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(HEADER + "0,cancel,1,,,,,\n" + line + "\n")
    with pytest.raises(FlowError, match=":3: "):
        list(flow_read(path))


def test_a_wrong_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv"
    path.write_text("a,b\n")
    with pytest.raises(FlowError, match="first line"):
        list(flow_read(path))


def test_equal_trades_are_equal_and_times_do_not_count() -> None:
    made = [trade(number)._replace(time_ms=99) for number in range(10)]
    result = trades_compare([trade(number) for number in range(10)], made)
    assert result.is_equal
    assert result.line() == "10 of 10 trades equal, 0 surplus"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        ([0, 1, 3, 4], "4 of 5 trades equal, 0 surplus"),
        ([0, 1, 2, 3, 3, 4], "5 of 5 trades equal, 1 surplus"),
        ([1, 0, 2, 3, 4], "4 of 5 trades equal, 1 surplus"),
        ([], "0 of 5 trades equal, 0 surplus"),
        ([7, 8, 9], "0 of 5 trades equal, 3 surplus"),
    ],
)
def test_one_difference_is_counted_once(made: list[int], line: str) -> None:
    result = trades_compare(map(trade, range(5)), map(trade, made))
    assert not result.is_equal
    assert result.line() == line
    assert result.differences


@pytest.mark.parametrize("part", ["price", "quantity", "buy_order_id", "sell_order_id"])
def test_every_part_of_a_trade_counts(part: str) -> None:
    other = trade(1)._replace(**{part: 999})
    assert trades_compare([trade(1)], [other]).line() == "0 of 1 trades equal, 1 surplus"


def test_the_taker_counts() -> None:
    other = trade(1)._replace(taker_side="sell")
    assert not trades_compare([trade(1)], [other]).is_equal


def test_a_seed_gives_the_same_market() -> None:
    first, second, third = (MarketGenerator(SHAPE, seed=seed) for seed in (1, 1, 2))
    commands = list(first.commands(500))
    assert list(second.commands(500)) == commands
    assert list(third.commands(500)) != commands


def test_a_generated_market_lives_and_stays_within_its_limit(tmp_path: Path) -> None:
    market = MarketGenerator(SHAPE, seed=5)
    trades: list[FlowTrade] = []
    kinds: dict[str, int] = {}
    for command in market.commands(3_000):
        trades += market.trades
        kinds[command.type or "cancel"] = kinds.get(command.type or "cancel", 0) + 1
        assert len(market.book.orders) <= SHAPE.open_orders_max
        bid, ask = market.book.best("buy"), market.book.best("sell")
        assert bid is None or ask is None or bid < ask
    assert len(trades) > 200
    assert set(kinds) == {"limit", "post_only", "market", "cancel"}
    assert kinds["post_only"] > kinds["limit"]
    trades_write(tmp_path / "trades.csv", trades)
    assert trades_compare(trades, trades_read(tmp_path / "trades.csv")).is_equal
