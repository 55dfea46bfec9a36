"""The crash test: trade through the API while parts of the stack are killed, then judge.

The seed determines everything random: the market, the kills and the seconds between them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from config.demo.bots import funds_ensure
from config.demo.flow import FlowCommand
from config.demo.generator import MarketGenerator, MarketShape
from config.demo.responses import Response
from exchange.infra.database import connect
from exchange.models import Symbol
from tests.lab.crash.every_type import EveryType
from tests.lab.crash.evidence import Acknowledged, EvidenceFile
from tests.lab.crash.killer import Killer, kills_plan
from tests.lab.crash.verify import Verdict, verify
from tests.lab.crash.verify_types import verify_types
from tests.lab.replay.api_route import ApiRoute
from tests.lab.replay.flow import FlowExtent, flow_measure, flow_read
from tests.lab.replay.outcome import drained_wait
from tests.lab.replay.progress import Pace, Progress
from tests.lab.replay.run import audit
from tests.lab.replay.schedule import Step
from tests.lab.replay.venue import ReplayVenue, run_next, venue_open
from tests.lab.stack import RunningStack

Write = Callable[[str], object]

INTERVAL_MS: Final = 8  # between two commands
CALM_SECONDS: Final = 3.0  # after the last kill
# Requests are repeated four times a second while a killed role comes back.
ATTEMPTS_MAX: Final = 1_000
ACCOUNTS_PER_SIDE: Final = 8
# Accounts of the market that also trade every type of order on a second symbol.
EVERY_TYPE_ACCOUNTS: Final = 4
FUNDS: Final = Decimal(10) ** 9
SHAPE: Final = MarketShape(
    price=Decimal(60_000), tick=Decimal(1), lot=Decimal("0.00001"), order_size=Decimal("0.02")
)
# Bounds of the generated market; the accounts are funded for it.
GENERATED: Final = FlowExtent(
    price_max=Decimal(600_000),
    quantity_max=Decimal(100),
    quantity_total=Decimal(10) ** 7,
    notional_bound=Decimal(10) ** 12,
    tick=SHAPE.tick,
    lot=SHAPE.lot,
)


@dataclass(frozen=True, slots=True)
class CrashOptions:
    """The number of kills, their seed and targets, and the flow (None: a generated one)."""

    kills: int
    seed: int
    targets: tuple[str, ...]
    flow: Path | None
    evidence: Path


def crash(stack: RunningStack, options: CrashOptions, write: Write) -> bool:
    """Run the test on a ready stack; return whether every acknowledgement was kept."""
    write(f"crash test: {options.kills} kills, seed {options.seed}")
    extent = flow_measure(options.flow) if options.flow else GENERATED
    every_symbol = venue_open(GENERATED, run=run_next(), accounts_per_side=1).symbol
    venue = venue_open(extent, run=run_next(), accounts_per_side=ACCOUNTS_PER_SIDE)
    evidence = EvidenceFile(options.evidence)
    every_evidence = EvidenceFile(options.evidence.with_suffix(".every-type"))
    every_type = _every_type(stack, venue, every_symbol, every_evidence, options.seed)
    killer = Killer(stack, kills_plan(options.seed, options.kills, options.targets), write)
    route = _route(stack, venue, evidence)
    pace, progress = Pace(1.0), Progress(0, lambda _: None)
    killer.start()
    every_type.start()
    try:
        result = route.send(_commands(options, killer), pace, progress)
    finally:
        killer.stop()
        killer.join()
        every_type.stop()
        every_type.join()
        evidence.close()
        every_evidence.close()
    for thread in (killer, every_type):
        if thread.error is not None:
            raise thread.error
    write(
        f"sent {result.sent:,} commands in {result.seconds:.0f} s, accepted {result.accepted:,},"
        f" sent again {result.retried:,}; answers {result.latencies.summary()}"
    )
    answers = result.repeated + every_type.answers
    faults = sum(count for code, count in answers.items() if code.startswith("500"))
    write(f"answers that meant `again`: {dict(result.repeated) or 'none'}")
    write(f"answers to orders of every type: {dict(every_type.answers.most_common())}")
    is_right = _judge_types(every_symbol, every_evidence, write)
    is_right = _judge(venue, evidence, write) and is_right
    return is_right and killer.done == options.kills and faults == 0


def _every_type(
    stack: RunningStack, venue: ReplayVenue, symbol: Symbol, evidence: EvidenceFile, seed: int
) -> EveryType:
    bots = venue.bots[:EVERY_TYPE_ACCOUNTS]
    funds = {symbol.base.code: FUNDS, symbol.quote.code: FUNDS}
    for bot in bots:
        funds_ensure(bot.account_id, funds, key=f"every-type-{symbol.code}")
    credentials = [bot.credentials for bot in bots]
    return EveryType(stack.url, symbol.code, credentials, evidence, seed)


def _judge_types(symbol: Symbol, evidence: EvidenceFile, write: Write) -> bool:
    with connect("crash", index_plans=False) as connection:
        drained_wait(connection, symbol_id=symbol.pk, partition_id=symbol.partition_id, write=write)
        verdict = verify_types(connection, symbol, evidence)
    write("orders of every type:")
    _say(verdict, write)
    return not verdict.faults


def _route(stack: RunningStack, venue: ReplayVenue, evidence: EvidenceFile) -> ApiRoute:
    def acknowledged(step: Step, response: Response) -> None:
        body = response.json()
        evidence.add(
            Acknowledged(
                str(body["client_order_id"]), str(body["id"]), step.is_cancel, response.status
            )
        )

    return ApiRoute(
        stack.url,
        venue.terms,
        [bot.credentials for bot in venue.bots],
        lambda _: True,
        attempts_max=ATTEMPTS_MAX,
        on_accepted=acknowledged,
        survives_faults=True,
    )


def _commands(options: CrashOptions, killer: Killer) -> Iterator[FlowCommand]:
    """Yield the flow until CALM_SECONDS after the last kill."""
    generated = (
        command._replace(time_ms=number * INTERVAL_MS)
        for number, command in enumerate(_source(options))
    )
    calm_until = float("inf")
    for command in generated:
        if not killer.is_alive() and calm_until == float("inf"):
            calm_until = time.monotonic() + CALM_SECONDS
        if time.monotonic() > calm_until:
            return
        yield command


def _source(options: CrashOptions) -> Iterator[FlowCommand]:
    if options.flow is not None:
        yield from flow_read(options.flow)
    else:
        market = MarketGenerator(SHAPE, seed=options.seed)
        while True:
            yield market.step(0)


def _judge(venue: ReplayVenue, evidence: EvidenceFile, write: Write) -> bool:
    """Wait until all is settled, then compare and audit; nothing is repaired by hand."""
    with connect("crash", index_plans=False) as connection:
        drained = drained_wait(
            connection,
            symbol_id=venue.symbol.pk,
            partition_id=venue.symbol.partition_id,
            write=write,
        )
        verdict = verify(connection, venue.symbol, evidence)
    write(f"all sequenced and settled {drained.settled_seconds:.1f} s after the last answer")
    _say(verdict, write)
    is_sound = audit(write)
    return is_sound and not verdict.faults


def _say(verdict: Verdict, write: Write) -> None:
    for fault in verdict.faults:
        write(f"  FAULT {fault}")
    write(
        f"{verdict.acknowledged:,} acknowledgements, {verdict.orders:,} orders,"
        f" {verdict.commands:,} commands, {verdict.trades:,} trades:"
        f" {'FAULTS' if verdict.faults else 'every promise kept, every trade right'}"
    )
