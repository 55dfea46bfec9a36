"""Measure the whole path under load: signed HTTP orders in, matched, settled, audited.

It also measures the feed: the time from an order's answer to its trade on a subscriber's socket.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket_connect
from websockets.typing import Origin

from config.demo.client import Client, address_of
from config.env import BASE_DIR
from exchange.infra.database import connect
from exchange.models import Symbol
from tests.lab.bench.load_generator import LoadPlan, LoadResult
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, venue_open
from tests.lab.clients.latency import Latencies
from tests.lab.replay.outcome import Standstill, drained_wait
from tests.lab.replay.run import audit

Write = Callable[[str], object]

LOAD_TIMEOUT_SECONDS: Final = 120.0  # beyond the planned time
FEED_TIMEOUT_SECONDS: Final = 10.0
FEED_PAUSE_SECONDS: Final = 0.02
FRAMES_SKIPPED_MAX: Final = 10_000

_TRADED = """
SELECT count(*), count(*) FILTER (WHERE filled > 0),
    (SELECT count(*) FROM orders_trade WHERE symbol_id = %(symbol)s)
FROM orders_order WHERE symbol_id = %(symbol)s
"""


@dataclass(frozen=True, slots=True)
class WholeOptions:
    """The stack to load, the rate and the duration."""

    url: str
    seconds: float
    rate: float  # 0: closed loop
    connections: int
    users: int
    trading_share: float
    seed: int


@dataclass(frozen=True, slots=True)
class WholeResult:
    """The results of the load, and counts from the database."""

    load: LoadResult
    orders: int
    orders_traded: int
    trades: int
    settled_seconds: float  # after the last answer
    is_sound: bool

    def lines(self) -> list[str]:
        """The table of one run."""
        load = self.load
        refused = ", ".join(f"{count} {code}" for code, count in load.refused.items())
        errors = "none" if load.errors == 0 else f"{refused or 'none refused'}, {load.lost} lost"
        return [
            f"accepted        {load.accepted / load.seconds:>10,.0f} orders/s"
            f"   ({load.accepted:,} in {load.seconds:.1f} s)",
            f"answer          {load.p50_ms:>10.1f} ms p50, {load.p95_ms:.1f} p95,"
            f" {load.p99_ms:.1f} p99, {load.max_ms:.1f} max",
            f"errors          {errors:>10}",
            f"orders traded   {100 * self.orders_traded / max(self.orders, 1):>10.1f} %"
            f"   ({self.trades:,} trades)",
            f"settled after   {self.settled_seconds:>10.2f} s from the last answer",
            f"audit           {'green' if self.is_sound else 'BREACH':>10}",
            f"load generator  {1e6 * load.cpu_seconds / max(load.sent, 1):>10.0f} us CPU an order",
        ]

    @property
    def is_good(self) -> bool:
        """Whether there were no errors, every accepted order is stored, and the audit is green."""
        return self.is_sound and self.load.errors == 0 and self.orders == self.load.accepted


def load_plan(options: WholeOptions) -> tuple[Symbol, LoadPlan]:
    """Open a venue; return its symbol and the plan of the load."""
    symbol, bots = venue_open(options.users)
    return symbol, LoadPlan(
        url=options.url,
        symbol=symbol.code,
        credentials=[(bot.credentials.key, bot.credentials.secret) for bot in bots],
        seconds=options.seconds,
        rate=options.rate,
        connections=options.connections,
        trading_share=options.trading_share,
        seed=options.seed,
        mark="b",
        price_ticks=PRICE_TICKS,
        tick=str(TICK),
        quantity=QUANTITY,
    )


def whole(options: WholeOptions, write: Write) -> WholeResult:
    """Run the load, wait until everything is settled, then audit."""
    symbol, plan = load_plan(options)
    write(
        f"{options.seconds:.0f} s on {symbol.code}, {options.users} users,"
        f" {options.connections} connections"
    )
    load = load_run(plan)
    with connect("bench", index_plans=False) as connection:
        connection.execute("SET statement_timeout = 0")
        settled_seconds = _settled_seconds(connection, symbol, load)
        row = connection.execute(_TRADED, {"symbol": symbol.pk}).fetchone()
    assert row is not None
    return WholeResult(load, row[0], row[1], row[2], settled_seconds, audit(write))


def load_run(plan: LoadPlan) -> LoadResult:
    """Run a plan in a process of its own."""
    finished = subprocess.run(  # our own module
        [sys.executable, "-m", "tests.lab.bench.load_generator"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        cwd=BASE_DIR,
        timeout=plan.seconds + LOAD_TIMEOUT_SECONDS,
        check=True,
    )
    return msgspec.json.decode(finished.stdout, type=LoadResult)


def _settled_seconds(connection: psycopg.Connection[Any], symbol: Any, load: LoadResult) -> float:
    """Return the seconds from the last answer until all was settled; infinity if never."""
    try:
        drained_wait(
            connection,
            symbol_id=symbol.pk,
            partition_id=symbol.partition_id,
            write=lambda _: None,
        )
    except Standstill:
        return float("inf")
    return max(0.0, time.time() - load.ended_at)


@dataclass(frozen=True, slots=True)
class FeedResult:
    """Latencies of the trade's frame, from the taker's answer and from its request."""

    from_answer: Latencies
    from_request: Latencies

    def lines(self) -> list[str]:
        """The table of one run."""
        return [
            f"accepted -> trade on the socket   {self.from_answer.summary()}",
            f"request sent -> trade on socket   {self.from_request.summary()}",
            f"samples                           {self.from_answer.count:,}",
        ]


def feed(url: str, ws_url: str, samples: int) -> FeedResult:
    """Let two users trade `samples` times; time each trade's frame on a third party's socket."""
    symbol, bots = venue_open(2)
    buyer, seller = (Client(url, bot.credentials) for bot in bots)
    result = FeedResult(Latencies(), Latencies())
    channel = f"{symbol.code}@trade"
    host, port = address_of(url)
    with websocket_connect(ws_url, origin=Origin(f"http://{host}:{port}")) as socket:
        socket.send(
            msgspec.json.encode({"op": "subscribe", "channels": [channel], "id": 1}).decode()
        )
        frame_next(socket, "subscribed")
        for number in range(samples):
            order = {
                "symbol": symbol.code,
                "type": "limit",
                "price": format(PRICE_TICKS * TICK, "f"),
                "quantity": QUANTITY,
            }
            rested = buyer.order_place({**order, "side": "buy", "client_order_id": f"f{number}"})
            assert rested.status == 201, rested.body
            time.sleep(FEED_PAUSE_SECONDS)
            sent_at = time.perf_counter()
            taken = seller.order_place({**order, "side": "sell", "client_order_id": f"f{number}"})
            answered_at = time.perf_counter()
            assert taken.status == 201, taken.body
            frame_next(socket, "trade")
            arrived_at = time.perf_counter()
            result.from_answer.add(arrived_at - answered_at)
            result.from_request.add(arrived_at - sent_at)
    buyer.close()
    seller.close()
    return result


def frame_next(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next frame of that type, skipping others. Raises TimeoutError."""
    for _ in range(FRAMES_SKIPPED_MAX):
        frame = msgspec.json.decode(socket.recv(timeout=FEED_TIMEOUT_SECONDS))
        if frame.get("type") == kind:
            return dict(frame)
        assert frame.get("type") != "error", frame
    raise AssertionError(f"no {kind} frame came")
