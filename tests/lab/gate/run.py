"""Measure all parts of the gate and compare them with what is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exchange.infra.database import connect
from tests.lab.bench.venue import symbols_open, users_open
from tests.lab.gate.engines import ADVANCED, PLAIN, engine_steps, engine_time
from tests.lab.gate.orders import intake_costs, loop_costs
from tests.lab.gate.ratios import Comparison, compared, stored_read, stored_write
from tests.lab.gate.settlement import settlement_costs

USERS: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparisons of one run."""

    comparisons: list[Comparison]

    def lines(self) -> list[str]:
        """Return the table."""
        return [comparison.line() for comparison in self.comparisons]

    @property
    def is_good(self) -> bool:
        return all(comparison.is_good for comparison in self.comparisons)


def measured() -> dict[str, dict[str, float]]:
    """Return all costs by kind. Needs a stack without roles, on which nothing traded yet."""
    counts = {
        "engine: steps of a command": engine_steps(PLAIN),
        "engine: the same with advanced state": engine_steps(ADVANCED),
    }
    times = {
        "engine: a command, of a naive one": engine_time(PLAIN),
        "engine: with advanced state, of a naive one": engine_time(ADVANCED),
    }
    for kind, found in zip((counts, times), settlement_costs(), strict=True):
        kind.update(found)
    _served()
    bots = users_open(USERS)
    (symbol,) = symbols_open(bots, 1)
    steps, times["loop: an order, in units"] = loop_costs(symbol, bots)
    counts.update(steps)
    for kind, found in zip((counts, times), intake_costs(symbol, bots), strict=True):
        kind.update(found)
    return {"counts": counts, "times": times}


def _served() -> None:
    """Let web believe that an engine is at work; without one nothing else uses the processors."""
    with connect("bench-gate") as connection:
        connection.execute(
            "UPDATE orders_enginepartition SET updated_at = now() + make_interval(hours => 1)"
        )


def gate(*, update: bool, write: Callable[[str], object]) -> Verdict:
    """Measure, and compare or store."""
    costs = measured()
    if update:
        stored_write(costs)
        write("stored:")
    return Verdict(compared(costs, stored_read()))
