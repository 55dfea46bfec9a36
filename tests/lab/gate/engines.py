"""What the engine costs beside the naive book of a plain symbol, command by command in turns."""

import gc
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from matching.engine.core import Engine
from matching.engine.messages import FEATURE_REPORT_PREVENTED, Command, SetFeature
from tests.lab.engine.workloads import SYMBOL, mixed
from tests.lab.gate.turns import thread_ns
from tests.oracles.naive.book import NaiveEngine
from tests.steps import steps_of

ORDERS: Final = 400
LEVELS: Final = 20
COMMANDS: Final = 1_500
TURN: Final = 50  # commands
ENGINES: Final = 10  # for each naive book, as one takes too little time to be measured
REPEATS: Final = 5


PLAIN: Final[Sequence[Command]] = ()
ADVANCED: Final = (SetFeature(1, 0, SYMBOL, FEATURE_REPORT_PREVENTED, True),)


def engine_steps(first: Sequence[Command]) -> float:
    """Return the steps of a command in a book that begins with these commands."""
    made, load = mixed(ORDERS, LEVELS)
    engine, commands = Engine(), load[:COMMANDS]
    _applied([engine.apply], [*first, *made])()
    return steps_of(_applied([engine.apply], commands)) / COMMANDS


def engine_time(first: Sequence[Command]) -> float:
    """Return the time of a command in such a book, as a share of that in a plain naive book."""
    return statistics.median(_once(first) for _ in range(REPEATS))


def _once(first: Sequence[Command]) -> float:
    made, load = mixed(ORDERS, LEVELS)
    naive, engines = NaiveEngine(), [Engine() for _ in range(ENGINES)]
    _applied([engine.apply for engine in engines], first)()
    _applied([naive.apply, *(engine.apply for engine in engines)], made)()
    gc.collect()
    ratios = []
    for start in range(0, COMMANDS, TURN):
        turn = load[start : start + TURN]
        slow = thread_ns(_applied([naive.apply], turn))
        fast = thread_ns(_applied([engine.apply for engine in engines], turn))
        ratios.append(fast / ENGINES / slow)
    return statistics.median(ratios)


def _applied(
    applies: Sequence[Callable[[Command], object]], commands: Sequence[Command]
) -> Callable[[], None]:
    def work() -> None:
        for apply in applies:
            for command in commands:
                apply(command)

    return work
