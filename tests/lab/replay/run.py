"""Play a recording through the exchange, compare the trades, audit, and report."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from django.core.management import call_command
from django.core.management.base import CommandError

from config.demo.flow import FlowCommand
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from exchange.selectors import catalogue_read
from orders.intake.publish import RedisPublisher
from tests.lab.replay.api_route import ApiRoute, SendResult
from tests.lab.replay.comparison import TradeComparison, trades_compare
from tests.lab.replay.flow import FlowExtent, flow_measure, flow_read, trades_read
from tests.lab.replay.intake_route import IntakeRoute, IntakeTerms
from tests.lab.replay.outcome import Drained, drained_wait, trades_made
from tests.lab.replay.progress import Pace, Progress
from tests.lab.replay.venue import ReplayVenue, replays_unlist, run_next, venue_open

Through = Literal["api", "intake"]
Write = Callable[[str], object]

CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to play and how, and the expected trades (None: no comparison)."""

    flow: Path
    trades: Path | None
    through: Through
    speed: float  # 0: as fast as it goes
    url: str
    connections: int
    accounts_per_side: int
    limit: int = 0  # only so many commands; 0: all


def replay(plan: ReplayPlan, write: Write) -> bool:
    """Play the plan and report with `write`; return whether trades and audit are right."""
    extent = flow_measure(plan.flow)
    write(
        f"{plan.flow.name}: {extent.commands:,} commands, {extent.orders:,} orders,"
        f" {extent.cancels:,} cancels; tick {extent.tick:f}, lot {extent.lot:f}"
    )
    replays_unlist()
    venue = venue_open(extent, run=run_next(), accounts_per_side=plan.accounts_per_side)
    write(f"symbol {venue.symbol.code}, {len(venue.bots)} accounts, through {plan.through}")
    progress = Progress(plan.limit or extent.commands, write)
    result = _send(plan, venue, extent, progress)
    _say_sent(plan, result, write)
    comparison, drained = _outcome(plan, venue, write)
    write(
        f"sequenced {drained.sequenced_seconds:.2f} s and settled {drained.settled_seconds:.2f} s"
        " after the last answer"
    )
    is_sound = audit(write)
    if comparison is None:
        return is_sound
    for difference in comparison.differences:
        write(f"  {difference}")
    write(comparison.line())
    return is_sound and comparison.is_equal


def audit(write: Write) -> bool:
    """Run `manage.py audit` in this process; return whether it found no breach."""
    try:
        call_command("audit")
    except (CommandError, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in (0, None):
            return True
        write(f"the audit found a breach: {error}")
        return False
    return True


def _send(
    plan: ReplayPlan, venue: ReplayVenue, extent: FlowExtent, progress: Progress
) -> SendResult:
    commands = _commands(plan)
    pace = Pace(plan.speed)
    if plan.through == "api":
        credentials = [bot.credentials for bot in venue.bots]
        route = ApiRoute(
            plan.url, venue.terms, credentials, extent.is_cancelled, connections=plan.connections
        )
        return route.send(commands, pace, progress)
    reading = catalogue_read()
    rules = reading.symbols_by_id[venue.symbol.pk]
    fees = reading.fee_rates(tier_id=venue.tier_id, symbol_id=venue.symbol.pk)
    terms = IntakeTerms(
        [bot.account_id for bot in venue.bots], rules, fees.maker_ppm, fees.taker_ppm
    )
    publisher = RedisPublisher()
    with connect("replay") as connection:
        result = IntakeRoute(
            connection,
            publisher,
            venue.terms,
            terms,
            extent.is_cancelled,
            next_id=IdGenerator(node_number(), _now_ms).next_id,
        ).send(commands, pace, progress)
    publisher.confirm()
    return result


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _commands(plan: ReplayPlan) -> Iterator[FlowCommand]:
    for number, command in enumerate(flow_read(plan.flow), start=1):
        if plan.limit and number > plan.limit:
            return
        yield command


def _say_sent(plan: ReplayPlan, result: SendResult, write: Write) -> None:
    rate = result.sent / max(result.seconds, 1e-9)
    what = "answer" if plan.through == "api" else "batch commit"
    write(
        f"sent {result.sent:,} commands in {result.seconds:.1f} s: {rate:,.0f}/s;"
        f" {what} latency {result.latencies.summary()}"
    )
    refused = ", ".join(f"{number:,} {code}" for code, number in result.refused.most_common())
    write(f"accepted {result.accepted:,}; expected refusals: {refused or 'none'}")
    if result.retried:
        write(f"{result.retried:,} requests were sent again")


def _outcome(
    plan: ReplayPlan, venue: ReplayVenue, write: Write
) -> tuple[TradeComparison | None, Drained]:
    # Reading many trades joins big tables, so the planner may also choose plans without indexes.
    with connect("replay-outcome", index_plans=False) as connection:
        connection.execute("SET statement_timeout = 0")
        drained = drained_wait(
            connection,
            symbol_id=venue.symbol.pk,
            partition_id=venue.symbol.partition_id,
            write=write,
        )
        if plan.trades is None:
            return None, drained
        made = trades_made(connection, venue.terms, symbol_id=venue.symbol.pk)
        return trades_compare(trades_read(plan.trades), made), drained
