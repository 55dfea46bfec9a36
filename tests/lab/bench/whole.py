"""Measure the whole path under load: signed HTTP requests in, matched, settled, audited."""

import math
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from config.env import BASE_DIR, ENV
from exchange.domain.ids import id_floor
from exchange.infra.database import connect
from exchange.models import Symbol
from tests.lab.bench.load_generator import LoadPlan, LoadResult, Phase
from tests.lab.bench.requests import MIXES, Market, Mix
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, symbols_open, users_open
from tests.lab.bench.watch import Watch, Watched
from tests.lab.clients.bots import Bot
from tests.lab.journal import journal_fault
from tests.lab.replay.outcome import Standstill, drained_wait
from tests.lab.replay.run import audit

Write = Callable[[str], object]

LOAD_TIMEOUT_SECONDS: Final = 120.0  # beyond the planned time
MEMORY_SECONDS: Final = 60.0
IDS_AT_ONCE: Final = 50_000

_BY_SYMBOL: Final = """
SELECT symbol_id, count(*) FROM orders_order
WHERE symbol_id = ANY(%(symbols)s) AND id >= %(first)s GROUP BY symbol_id
"""
SYMBOLS_TOLD_MAX: Final = 8
_TRADED: Final = """
SELECT count(*), count(*) FILTER (WHERE filled > 0),
    (SELECT count(*) FROM orders_trade WHERE symbol_id = ANY(%(symbols)s) AND id >= %(first)s)
FROM orders_order WHERE symbol_id = ANY(%(symbols)s) AND id >= %(first)s
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
    symbols: int = 1
    mix: Mix = MIXES["places"]
    batch: int = 1
    partitions: int = 1  # of the engine, each with a matching worker; the symbols take turns


@dataclass(frozen=True, slots=True)
class WholeResult:
    """The results of the load, and counts from the database."""

    load: LoadResult
    seen: Watched
    missing: int  # accepted requests that are not in the database
    orders: int
    orders_traded: int
    trades: int
    settled_seconds: float  # after the last answer
    is_sound: bool
    by_symbol: dict[str, int]  # orders by code
    journals: dict[int, str]  # the fault of each partition's journal, empty if it has none

    def lines(self) -> list[str]:
        """The table of one run."""
        load, seen = self.load, self.seen
        return [
            f"accepted        {load.accepted / load.seconds:>10,.0f} requests/s"
            f"   ({load.accepted:,} in {load.seconds:.1f} s)",
            f"placed          {load.orders / load.seconds:>10,.0f} orders/s",
            f"answer          {load.p50_ms:>10.1f} ms p50, {load.p95_ms:.1f} p95,"
            f" {load.p99_ms:.1f} p99, {load.max_ms:.1f} max",
            f"errors          {errors_text(load):>10}",
            f"lost of accepted{self.missing:>10,}",
            f"orders traded   {100 * self.orders_traded / max(self.orders, 1):>10.1f} %"
            f"   ({self.trades:,} trades)",
            f"longest lag     {seen.engine_lag_s:>10.2f} s of the engine,"
            f" {seen.settlement_lag_s:.2f} s of settlement",
            f"settled after   {self.settled_seconds:>10.2f} s from the last answer",
            f"audit           {'green' if self.is_sound else 'BREACH':>10}",
            *self._spread_lines(),
            f"load generator  {1e6 * load.cpu_seconds / max(load.sent, 1):>10.0f} us CPU a request",
            *soak_lines(load, seen),
        ]

    def _spread_lines(self) -> list[str]:
        """Return processor time by role, and with a few symbols or partitions their shares."""
        lines = [f"processor       {self.processor_text()}"]
        if 1 < len(self.by_symbol) <= SYMBOLS_TOLD_MAX:
            rates = [
                f"{code} {count / self.load.seconds:,.0f}" for code, count in self.by_symbol.items()
            ]
            lines.append(f"by symbol       {', '.join(rates)} orders/s")
        lines += [
            f"journal {number:<8}{fault or 'right: a new engine makes the same of it'}"
            for number, fault in self.journals.items()
        ]
        return lines

    def processor_text(self) -> str:
        """Return the processor time of an order by role."""
        placed = max(self.load.orders, 1)
        used = self.seen.cpu_seconds
        each = [f"{role} {1e6 * seconds / placed:.0f}" for role, seconds in used.items()]
        return f"{', '.join(each)}, all {1e6 * sum(used.values()) / placed:.0f} us an order"

    @property
    def kept(self) -> bool:
        """Whether all that was accepted is stored and settled, audit and journals are right."""
        is_right = self.is_sound and not any(self.journals.values())
        return is_right and self.missing == 0 and self.settled_seconds < math.inf

    @property
    def is_good(self) -> bool:
        """Whether there were no errors either, and no order that was not acknowledged."""
        return self.kept and self.load.errors == 0 and self.orders == self.load.orders


def errors_text(load: LoadResult) -> str:
    """Return refusals by code, and what was lost or not sent."""
    parts = [f"{count:,} {code}" for code, count in load.refused.items()]
    for count, word in (
        (load.untold, "without Retry-After"),
        (load.lost, "lost"),
        (load.given_up, "not sent"),
    ):
        if count:
            parts.append(f"{count:,} {word}")
    return ", ".join(parts) or "none"


def soak_lines(load: LoadResult, seen: Watched) -> list[str]:
    """Return latency by minute and memory by role; nothing for a run of a few minutes."""
    if len(seen.memory) < 2 or len(load.windows) < 2:
        return []
    lines = ["", "from s   accepted    p50 ms    p99 ms"]
    lines += [
        f"{one.from_second:>6.0f} {one.accepted:>10,} {one.p50_ms:>9.1f} {one.p99_ms:>9.1f}"
        for one in load.windows
    ]
    roles = list(seen.memory[0][1])
    lines += ["", "MiB at s " + "".join(f"{role:>12}" for role in roles)]
    lines += [
        f"{at:>8.0f} " + "".join(f"{used.get(role, 0):>12,}" for role in roles)
        for at, used in seen.memory
    ]
    return lines


def load_plan(options: WholeOptions) -> tuple[list[Symbol], LoadPlan]:
    """Open a venue; return its symbols and the plan of the load."""
    bots = users_open(options.users)
    symbols = symbols_open(bots, options.symbols, partitions=options.partitions)
    return symbols, plan_of(options, symbols, bots)


def plan_of(options: WholeOptions, symbols: list[Symbol], bots: Sequence[Bot]) -> LoadPlan:
    """Return the plan of a load on these symbols."""
    return LoadPlan(
        url=options.url,
        market=market_of(symbols),
        credentials=credentials_of(bots),
        phases=[Phase(options.seconds, options.rate)],
        connections=options.connections,
        trading_share=options.trading_share,
        seed=options.seed,
        mark="b",
        mix=options.mix,
        batch=options.batch,
    )


def market_of(symbols: list[Symbol]) -> Market:
    """Return the market of these symbols as the load generator is told it."""
    codes = [symbol.code for symbol in symbols]
    return Market(codes, price_ticks=PRICE_TICKS, tick=str(TICK), quantity=QUANTITY)


def credentials_of(bots: Sequence[Bot]) -> list[tuple[str, str]]:
    """Return the keys of these users as the load generator is told them."""
    return [(bot.credentials.key, bot.credentials.secret) for bot in bots]


def whole(options: WholeOptions, write: Write) -> WholeResult:
    """Run the load, wait until everything is settled, then audit."""
    symbols, plan = load_plan(options)
    write(
        f"{options.seconds:.0f} s on {len(symbols)} symbols from {symbols[0].code},"
        f" {options.users} users, {options.connections} connections"
    )
    return measured(symbols, plan, write, with_journals=options.partitions > 1)


def measured(
    symbols: list[Symbol], plan: LoadPlan, write: Write, *, with_journals: bool = False
) -> WholeResult:
    """Run a plan on a watched stack, wait until everything is settled, then audit.

    `with_journals` applies the whole journal of each partition again: nothing else was traded.
    """
    first_id = id_floor(time.time_ns() // 1_000_000)
    with Watch(BASE_DIR / ENV.data_dir, memory_seconds=MEMORY_SECONDS) as watch:
        load = load_run(plan)
    with connect("bench", index_plans=False) as connection:
        connection.execute("SET statement_timeout = 0")
        settled_seconds = _settled_seconds(connection, symbols, load)
        missing = missing_count(connection, load)
        of_load = {"symbols": [one.pk for one in symbols], "first": first_id}
        row = connection.execute(_TRADED, of_load).fetchone()
        counts: dict[int, int] = dict(connection.execute(_BY_SYMBOL, of_load).fetchall())
        served = sorted({one.partition_id for one in symbols}) if with_journals else ()
        journals = {number: journal_fault(connection, number) for number in served}
    assert row is not None
    orders, traded, trades = row
    return WholeResult(
        load,
        watch.seen,
        missing,
        orders,
        traded,
        trades,
        settled_seconds,
        audit(write),
        by_symbol={one.code: counts.get(one.pk, 0) for one in symbols},
        journals=journals,
    )


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


def missing_count(connection: psycopg.Connection[Any], load: LoadResult) -> int:
    """Return how many accepted orders, cancels and amends are not in the database."""
    missing = 0
    for table, content in (
        ("orders_order", load.order_ids),
        ("orders_command", load.command_ids),
    ):
        ids = list(array("Q", content))
        query = sql.SQL("SELECT count(*) FROM {} WHERE id = ANY(%s)").format(sql.Identifier(table))
        for first in range(0, len(ids), IDS_AT_ONCE):
            wanted = ids[first : first + IDS_AT_ONCE]
            row = connection.execute(query, (wanted,)).fetchone()
            assert row is not None
            missing += len(set(wanted)) - row[0]
    return missing


def _settled_seconds(
    connection: psycopg.Connection[Any], symbols: list[Symbol], load: LoadResult
) -> float:
    """Return the seconds from the last answer until all was settled; infinity if never."""
    try:
        for symbol in symbols:
            drained_wait(
                connection,
                symbol_id=symbol.pk,
                partition_id=symbol.partition_id,
                write=lambda _: None,
            )
    except Standstill:
        return math.inf
    return max(0.0, time.time() - load.ended_at)
