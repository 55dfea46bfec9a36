"""Measure all parts of the gate and compare them with what is stored."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.bench.venue import symbols_open, users_open
from tests.lab.gate.engines import engine_ratio, features_ratio
from tests.lab.gate.orders import intake_ratios, loop_ratio
from tests.lab.gate.ratios import Comparison, compared, stored_read, stored_write
from tests.lab.gate.settlement import settlement_ratios

USERS = 100


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


def measured() -> dict[str, float]:
    """Return the ratio of every part. Needs a stack without roles, on which nothing traded yet."""
    ours, theirs = settlement_ratios()
    ratios = {
        "engine: a command, of one in the naive book": engine_ratio(),
        "the same with advanced state": features_ratio(),
        "settlement: a trade, in units": ours,
        "the same in Postgres": theirs,
    }
    bots = users_open(USERS)
    (symbol,) = symbols_open(bots, 1)
    ratios["loop: an order, in units"] = loop_ratio(symbol, bots)
    ours, theirs = intake_ratios(symbol, bots)
    ratios["intake: an order in batches of 32, in units"] = ours
    ratios["the same in intake's Postgres process"] = theirs
    return ratios


def gate(*, update: bool, write: Callable[[str], object]) -> Verdict:
    """Measure, and compare or store."""
    ratios = measured()
    if update:
        stored_write(ratios)
        write("stored:")
    return Verdict(compared(ratios, stored_read()))
