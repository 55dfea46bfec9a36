"""A partition under test: a market, its worker, and the rows and frames that the worker wrote."""

from typing import Any

import psycopg

from exchange.domain.enums import OrderType, Side
from orders.intake.jobs import Job, PlaceJob
from tests.factories.advanced_jobs import special_job, submit
from tests.factories.market import Market
from tests.factories.worker import Surroundings, TestClock

MONEY = (
    "price",
    "bound_price",
    "reference_price",
    "stop_price",
    "display_quantity",
    "quantity",
    "filled",
)


class Partition:
    """A fresh market with one symbol, and a worker that applies its commands.

    `send` takes jobs through one intake batch and one turn of the worker. Prices are in ticks of
    0.01, quantities in lots of 0.001.
    """

    def __init__(self, market: Market, clock: TestClock, db: psycopg.Connection) -> None:
        self.market = market
        self.clock = clock
        self.db = db
        self.around = Surroundings(market, clock)
        self.around.start()
        self.code = market.rules.units.code
        self._read = 0

    def send(self, *jobs: Job) -> list[int]:
        """Apply these jobs in one batch; return the ids of their commands."""
        ids = submit(self.market, self.db, *jobs)
        self.turn()
        return ids

    def turn(self, steps: int = 1) -> None:
        self._read = len(self.around.feed.frames)
        self.around.deliver()
        self.around.started[-1].run(steps)

    def plain(self, account: int, side: Side, lots: int, ticks: int) -> PlaceJob:
        return self.market.place_job(account, side, lots, ticks)

    def price(self, ticks: int) -> None:
        """Make this the last price: accounts 1 and 2 trade one lot at it."""
        self.send(self.plain(1, Side.SELL, 1, ticks), self.plain(2, Side.BUY, 1, ticks))

    def last_orders(self, count: int) -> list[int]:
        """Return the ids of the orders that were accepted last, oldest first."""
        rows = self.db.execute(
            "SELECT id FROM orders_order WHERE symbol_id = %s ORDER BY id DESC LIMIT %s",
            (self.market.symbol_id, count),
        )
        return [row[0] for row in rows][::-1]

    def row(self, order_id: int) -> dict[str, Any]:
        money = ", ".join(f"trim_scale({name})::text" for name in MONEY)
        found = self.db.execute(
            f"SELECT {money}, status, reason, engine_seq, priority_seq, finished_at IS NOT NULL"
            " FROM orders_order WHERE id = %s",
            (order_id,),
        ).fetchone()
        assert found is not None
        names = (*MONEY, "status", "reason", "engine_seq", "priority_seq", "is_finished")
        return dict(zip(names, found, strict=True))

    def status(self, *order_ids: int) -> list[str]:
        return [self.row(order_id)["status"] for order_id in order_ids]

    def told(self, topic: str) -> list[dict[str, Any]]:
        """Return the frames that the last batch published on a topic."""
        return self.around.feed.bodies(topic)[self._before(topic) :]

    def _before(self, topic: str) -> int:
        return sum(name == topic for name, _ in self.around.feed.frames[: self._read])

    def depth(self) -> tuple[list[list[str]], list[list[str]]]:
        """Return the bids and asks of the one delta that the last batch published, if any."""
        deltas = self.told(f"{self.code}@depth")
        assert len(deltas) <= 1
        return (deltas[0]["bids"], deltas[0]["asks"]) if deltas else ([], [])

    def state(self) -> dict[str, Any]:
        [frame] = self.told(f"{self.code}@state")
        return frame

    def own(self, account: int) -> list[tuple[str, str]]:
        """Return (id, status) of each order frame that the last batch published to this account."""
        frames = self.told(f"account:{self.market.account_ids[account]}")
        orders = [one["order"] for one in frames if one["type"] == "order"]
        return [(order["id"], order["status"]) for order in orders]

    def symbol_state(self) -> str:
        """Return the market state in the symbol's row."""
        row = self.db.execute(
            "SELECT state FROM exchange_symbol WHERE id = %s", (self.market.symbol_id,)
        ).fetchone()
        assert row is not None
        return str(row[0])

    def sequence(self) -> int:
        return self.around.started[-1].worker.engine.sequence


def stop_limit_job(market: Market, side: Side, lots: int, ticks: int, stop_ticks: int) -> PlaceJob:
    return special_job(
        market, 0, side, lots, ticks, type=OrderType.STOP_LIMIT, stop_ticks=stop_ticks
    )
