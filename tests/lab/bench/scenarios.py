"""Measure the whole path under many kinds of load, each for a few seconds, into one table.

The first row, a closed loop, says what the machine sustains at this moment; most other rows are
multiples of it. A surge is a time of too much between two of `BESIDE_TIMES` of it: what is accepted
keeps its latency, the rest is refused at once, and afterwards all is as it was before.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from exchange.models import Symbol
from tests.lab.bench.load_generator import LoadPlan, Phase, Window
from tests.lab.bench.requests import MIXES
from tests.lab.bench.venue import PRICE_TICKS, symbols_open, users_open
from tests.lab.bench.whole import (
    WholeResult,
    Write,
    credentials_of,
    errors_text,
    market_of,
    measured,
)
from tests.lab.clients.bots import Bot

BESIDE_TIMES: Final = 0.7
BEFORE_SECONDS: Final = 4.0
AFTER_SECONDS: Final = 8.0
PATIENCE_SECONDS: Final = 1.0
# Latency is normal again when p99 is at most this multiple of what it was before.
NORMAL_TIMES: Final = 2.0
# More than wait in intake at most; web takes 4,096.
MANY_CONNECTIONS: Final = 3_500


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load. Without `rate` and `times` it is a closed loop."""

    name: str
    users: int = 100
    symbols: int = 1
    connections: int = 48
    rate: float = 0.0  # offered requests a second
    times: float = 0.0  # or a multiple of what the first row sustained
    surge: bool = False
    mix: str = "places"
    batch: int = 1  # orders in a request
    trading_share: float = 0.3
    levels: int = 400
    walk_ticks: int = 0
    fall: float = 0.0  # share of the price that is lost while it runs


OPEN: Final = Scenario("", connections=500, times=BESIDE_TIMES)
SCENARIOS: Final = (
    Scenario("closed loop"),
    Scenario("bots: 60 % cancels and amends", mix="bots"),
    Scenario("batches of 50", connections=16, batch=50),
    Scenario("500 connections", connections=500),
    Scenario("5,000 users", users=5_000),
    Scenario("50 symbols", symbols=50),
    replace(OPEN, name="open loop at 0.7"),
    replace(OPEN, name="basic: 100 users", rate=1_000),
    replace(OPEN, name="peak: 1,000 users", users=1_000, rate=5_000, surge=True),
    replace(OPEN, name="stress: 5,000 users", users=5_000, rate=10_000, surge=True),
    replace(OPEN, name="overload: 3 times", times=3.0, surge=True),
    replace(OPEN, name="volatility", walk_ticks=50),
    replace(OPEN, name="thin book", levels=5, trading_share=0.8),
    replace(OPEN, name="crash: the price falls by 0.3", fall=0.3),
    replace(OPEN, name="many assets: 50", users=1_000, symbols=50),
)
HEAD: Final = (
    "| Scenario | offered/s | accepted/s | p50 ms | p95 ms | p99 ms | refused | engine s behind |"
    " settlement s behind | normal after s | settled after s | nothing lost, audit |"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; of a surge the figures are those of its time of too much."""

    scenario: Scenario
    plan: LoadPlan
    result: WholeResult

    @property
    def place(self) -> int:
        """Return the phase that the row tells."""
        return 1 if self.scenario.surge else 0

    @property
    def accepted_per_second(self) -> float:
        """Accepted requests a second of the phase; of batches, the orders in them."""
        accepted = self.result.load.phases[self.place].accepted * self.scenario.batch
        return accepted / self.plan.phases[self.place].seconds

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, and whoever was refused was told when to come again."""
        load = self.result.load
        return self.result.kept and load.lost == 0 and load.untold == 0

    def line(self) -> str:
        """Return the line in Markdown."""
        load, seen = self.result.load, self.result.seen
        phase, rate = load.phases[self.place], self.plan.phases[self.place].rate
        again = recovery_seconds(self.plan.phases, load.windows) if self.scenario.surge else None
        cells = [
            self.scenario.name,
            f"{rate:,.0f}" if rate else "",
            f"{self.accepted_per_second:,.0f}",
            *(f"{one:.0f}" for one in (phase.p50_ms, phase.p95_ms, phase.p99_ms)),
            errors_text(load),
            f"{seen.engine_lag_s:.1f}",
            f"{seen.settlement_lag_s:.1f}",
            "" if again is None else f"{again:.0f}",
            f"{self.result.settled_seconds:.1f}",
            "yes" if self.is_good else "NO",
        ]
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows in the order in which they were measured."""

    rows: list[Row]

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        return ["", HEAD, f"|{'---|' * HEAD.count(' | ')}---|", *(row.line() for row in self.rows)]

    @property
    def is_good(self) -> bool:
        return all(row.is_good for row in self.rows)


def recovery_seconds(phases: Sequence[Phase], windows: Sequence[Window]) -> float:
    """Return the seconds from the end of a surge until latency is normal for good.

    Infinity if it never is. Normal is at most NORMAL_TIMES the median p99 of the windows before the
    surge, without the first, and no refusal.
    """
    before, surge, after = (phase.seconds for phase in phases)
    usual = statistics.median(
        one.p99_ms for one in windows if 0 < one.from_second < before and one.accepted
    )
    normal = {
        one.from_second
        for one in windows
        if one.accepted and not one.refused and one.p99_ms <= NORMAL_TIMES * usual
    }
    recovered = after
    while recovered and before + surge + recovered - 1 in normal:
        recovered -= 1
    return recovered if recovered < after else math.inf


def scenarios(url: str, *, seconds: float, seed: int, write: Write) -> Table:
    """Measure all scenarios on one stack, each on symbols of its own."""
    bots = users_open(max(scenario.users for scenario in SCENARIOS))
    rows: list[Row] = []
    for scenario in SCENARIOS:
        sustained = rows[0].accepted_per_second if rows else 0.0
        traders = bots[: scenario.users]
        symbols = symbols_open(traders, scenario.symbols)
        plan = _plan(scenario, url, symbols, traders, seconds, sustained, seed)
        rows.append(Row(scenario, plan, measured(symbols, plan, lambda _: None)))
        write(rows[-1].line())
    return Table(rows)


def _plan(
    scenario: Scenario,
    url: str,
    symbols: list[Symbol],
    bots: Sequence[Bot],
    seconds: float,
    sustained: float,
    seed: int,
) -> LoadPlan:
    rate = scenario.rate or scenario.times * sustained
    phases = [Phase(seconds, rate)]
    if scenario.surge:
        beside = BESIDE_TIMES * sustained
        phases = [Phase(BEFORE_SECONDS, beside), *phases, Phase(AFTER_SECONDS, beside)]
    market = msgspec.structs.replace(
        market_of(symbols),
        levels=scenario.levels,
        walk_ticks=scenario.walk_ticks,
        drift_ticks=-scenario.fall * PRICE_TICKS / max(rate * seconds, 1.0),
    )
    return LoadPlan(
        url=url,
        market=market,
        credentials=credentials_of(bots),
        phases=phases,
        connections=MANY_CONNECTIONS if scenario.surge else scenario.connections,
        trading_share=scenario.trading_share,
        seed=seed,
        mark=symbols[0].code,
        mix=MIXES[scenario.mix],
        batch=scenario.batch,
        patience_seconds=PATIENCE_SECONDS,
    )
