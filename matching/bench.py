"""Measure the engine alone: `python -m matching.bench [--orders N] [--runs N] [FILE.bin.xz ...]`.

Five loads, each run several times, the median told: messages a second, the 99th percentile and the
worst of a single command. Then the sweep by itself, the memory of a resting order, and the public
message files where some are given. The cycle collector is off meanwhile, as in the worker: the
engine makes no reference cycles. What a load rests on is built before and not timed.
"""

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from matching.conformance import conform
from matching.engine import Engine
from matching.messages import BUY, IOC, SELL, Amend, Cancel, Command, Place

SYMBOL: Final = 1
MIDDLE: Final = 1_000_000
SEED: Final = 7
SWEEP_ORDERS: Final = 5_000
MESSAGES: Final = 100_000
LATENCY_PERCENTILE: Final = 99


class Load(NamedTuple):
    """What is measured, on what ground, and how it is built."""

    name: str
    build: Callable[[int], tuple[list[Command], list[Command]]]


class Figures(NamedTuple):
    per_second: float
    p99_us: float
    worst_us: float


def place(number: int, side: int, price: int, lots: int, tif: int = 0) -> Place:
    """An order of an account that has no other."""
    return Place(number, 0, SYMBOL, number, number, side, price, lots, tif)


def ground(orders: int, levels: int) -> list[Command]:
    """Resting orders, spread evenly over so many levels of each side."""
    made: list[Command] = []
    for number in range(1, orders + 1):
        distance = 1 + (number // 2) % levels
        if number % 2:
            made.append(place(number, BUY, MIDDLE - distance, 10))
        else:
            made.append(place(number, SELL, MIDDLE + distance, 10))
    return made


def mixed(orders: int, levels: int) -> tuple[list[Command], list[Command]]:
    """Adds, cancels, amends and small takers on a standing book."""
    chance = random.Random(SEED)  # noqa: S311 a load, no secret
    known = list(range(1, orders + 1))
    load: list[Command] = []
    for number in range(orders + 1, orders + 1 + MESSAGES):
        kind = chance.random()
        side = chance.choice((BUY, SELL))
        away = -1 if side == BUY else 1
        price = MIDDLE + away * chance.randint(1, levels)
        if kind < 0.45:
            load.append(place(number, side, price, 10))
            known.append(number)
        elif kind < 0.80:
            at = chance.randrange(len(known))
            known[at], known[-1] = known[-1], known[at]
            load.append(Cancel(number, 0, SYMBOL, known.pop()))
        elif kind < 0.90:
            load.append(Amend(number, 0, SYMBOL, chance.choice(known), price, 8))
        else:
            load.append(place(number, side, MIDDLE - away * levels, chance.randint(1, 20), IOC))
    return ground(orders, levels), load


def deep(orders: int) -> tuple[list[Command], list[Command]]:
    return mixed(orders, 50)


def wide(orders: int) -> tuple[list[Command], list[Command]]:
    return mixed(min(orders, 50_000), 5_000)


def fat(orders: int) -> tuple[list[Command], list[Command]]:
    count = orders // 2
    made: list[Command] = [place(n, SELL, MIDDLE, 1) for n in range(1, count + 1)]
    load: list[Command] = [
        place(n, BUY, MIDDLE, 1, IOC) for n in range(count + 1, count + 1 + count)
    ]
    return made, load


def storm(orders: int) -> tuple[list[Command], list[Command]]:
    ids = list(range(1, orders + 1))
    random.Random(SEED).shuffle(ids)  # noqa: S311 a load, no secret
    return ground(orders, 50), [Cancel(n, 0, SYMBOL, n) for n in ids]


def sweeps(orders: int) -> tuple[list[Command], list[Command]]:
    """Books of 5,000 orders on 500 levels, each eaten by one order; the building counts."""
    load: list[Command] = []
    for start in range(0, orders, SWEEP_ORDERS):
        first = 1 + start * 2
        load += [place(first + n, SELL, MIDDLE + n % 500, 1) for n in range(SWEEP_ORDERS)]
        load.append(place(first + SWEEP_ORDERS, BUY, MIDDLE + 500, SWEEP_ORDERS, IOC))
    return [], load


LOADS: Final = (
    Load("deep book, 50 levels a side", deep),
    Load("wide book, 5,000 levels a side", wide),
    Load("one fat level eaten by small takers", fat),
    Load("cancel storm", storm),
    Load("5,000-order sweeps", sweeps),
)


def measure(load: Load, orders: int) -> Figures:
    """Run a load once for its speed and once more for single commands."""
    made, commands = load.build(orders)
    engine = Engine()
    for command in made:
        engine.apply(command)
    apply = engine.apply
    started = time.perf_counter()
    for command in commands:
        apply(command)
    seconds = time.perf_counter() - started
    spent = sorted(_each(made, commands))
    p99_ns = spent[len(spent) * LATENCY_PERCENTILE // 100]
    return Figures(len(commands) / seconds, p99_ns / 1_000, spent[-1] / 1_000)


def _each(made: list[Command], commands: list[Command]) -> list[int]:
    """Nanoseconds of every command; a sweep is told apart, not here."""
    engine = Engine()
    for command in made:
        engine.apply(command)
    clock, apply = time.perf_counter_ns, engine.apply
    spent = []
    for command in commands:
        started = clock()
        apply(command)
        ended = clock()
        if type(command) is not Place or command.quantity_lots < SWEEP_ORDERS:
            spent.append(ended - started)
    return spent


def sweep_ms() -> float:
    """Milliseconds in which one order eats 5,000 others, the collector on."""
    _, commands = sweeps(SWEEP_ORDERS)
    engine = Engine()
    for command in commands[:-1]:
        engine.apply(command)
    gc.enable()
    started = time.perf_counter()
    engine.apply(commands[-1])
    seconds = time.perf_counter() - started
    gc.disable()
    return seconds * 1_000


def bytes_per_order(orders: int) -> float:
    """Bytes that a resting order costs, its account having no other; its id and prices included."""
    tracemalloc.start()
    engine = Engine()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10**6, 10**6 + orders):
        engine.apply(place(number, number % 2, MIDDLE + (number % 2 * 2 - 1) * (number % 50), 10))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(engine.book(SYMBOL).orders) == orders
    return (after - before) / orders


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    out = sys.stdout
    gc.collect()
    gc.disable()
    for load in LOADS:
        runs = [measure(load, options.orders) for _ in range(options.runs)]
        median = Figures(*map(statistics.median, zip(*runs, strict=True)))
        out.write(
            f"{load.name}: {median.per_second:,.0f} messages/s, "
            f"p99 {median.p99_us:.1f} us, worst {median.worst_us:.0f} us\n"
        )
    out.write(f"one 5,000-order sweep: {statistics.median(sweep_ms() for _ in range(5)):.1f} ms\n")
    out.write(f"memory: {bytes_per_order(100_000):.0f} bytes per resting order\n")
    for path in options.files:
        results = [conform(path) for _ in range(options.runs)]
        speed = statistics.median(result.messages / result.seconds for result in results)
        out.write(f"{path.name}: {speed:,.0f} messages/s, {results[0].sha256}\n")


if __name__ == "__main__":
    main()
