"""A recorded market through the bare engine: it makes the trades that the venue made."""

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.unit.matching.shared_files import shared_file

LOTS_PER_UNIT = 10**8
SYMBOL = 1
# The recording has limit orders at price 0, which is no price here. A sell at 0 takes any bid, and
# at the lowest price that exists it does the same. A bid at 0 is left out: symbol rules refuse it,
# and it could only trade with a sell at 0.
PRICE_TICKS_MIN = 1
# Time, price in ticks of one unit, lots, buy order, sell order, taker's side.
Row = tuple[int, int, int, int, int, str]


def lots(quantity: str) -> int:
    units = Decimal(quantity) * LOTS_PER_UNIT
    assert units == int(units), f"{quantity} is finer than the lot"
    return int(units)


def ticks(price: str) -> int:
    assert Decimal(price) == int(Decimal(price)), f"{price} is finer than the tick"
    return int(Decimal(price))


def flow_commands(path: Path) -> Iterator[m.Command]:
    """The recorded commands, each order with an account of its own; see PRICE_TICKS_MIN."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            order_id, time_ms = int(row["order_id"]), int(row["time_ms"])
            if row["action"] == "cancel":
                yield m.Cancel(order_id, time_ms, SYMBOL, order_id)
                continue
            side = m.BUY if row["side"] == "buy" else m.SELL
            price_ticks = ticks(row["price"])
            if price_ticks < PRICE_TICKS_MIN:
                if side == m.BUY:
                    continue
                price_ticks = PRICE_TICKS_MIN
            assert (row["action"], row["type"]) in {("new", "limit"), ("new", "post_only")}
            yield m.Place(
                order_id,
                time_ms,
                SYMBOL,
                order_id,
                order_id,
                side,
                price_ticks,
                lots(row["quantity"]),
                post_only=row["type"] == "post_only",
            )


def recorded_trades(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            (
                int(row["time_ms"]),
                ticks(row["price"]),
                lots(row["quantity"]),
                int(row["buy_order_id"]),
                int(row["sell_order_id"]),
                row["taker_side"],
            )
            for row in csv.DictReader(file)
        ]


def test_recorded_market_makes_exactly_its_trades() -> None:
    """B2."""
    flow = shared_file("data/bitstamp-btcusd-12min/flow.csv.gz")
    expected = recorded_trades(shared_file("data/bitstamp-btcusd-12min/trades.csv"))
    engine = Engine()
    made: list[Row] = []
    for command in flow_commands(flow):
        for event in engine.apply(command):
            if isinstance(event, m.Trade):
                maker, taker = event.maker_order_id, event.taker_order_id
                taker_buys = event.taker_side == m.BUY
                buy, sell = (taker, maker) if taker_buys else (maker, taker)
                side = "buy" if taker_buys else "sell"
                made.append(
                    (command.time_ms, event.price_ticks, event.quantity_lots, buy, sell, side)
                )
    engine.check()
    assert len(expected) == 109
    assert made == expected
