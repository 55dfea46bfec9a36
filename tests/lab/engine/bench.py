"""Measure the engine alone: `python -m tests.lab.engine.bench [--orders N] [--runs N] [FILE ...]`.

Each load (tests/lab/engine/workloads.py) runs several times: one pass measures messages a second,
another the 99th percentile and the worst time of a single command. The tables show the median, and
the lowest and highest in brackets. Then follow single sweeps, 10,000 stops that one trade triggers,
how the cost of a small command grows with the state, the memory of a resting order, the memory that
a steady book keeps after `--growth` million messages, and the given public message files.

A command's time is given by the wall clock and as processor time of the thread. When only the wall
clock shows a long time, the machine was busy with other work. The cycle collector is set as in the
worker. A load's book is built before the timing starts. The output is Markdown.
"""

import argparse
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from matching.engine.core import Engine
from matching.engine.messages import BUY, IOC, SELL, Cancel, CancelAfter, Command, Continue, Place
from matching.state.hash import advanced_hash, advanced_hash_afresh
from tests.lab.engine.conformance import conform
from tests.lab.engine.workloads import (
    MIDDLE,
    SWEEP_ORDERS,
    SYMBOL,
    WORKLOADS,
    Workload,
    place,
    sweeps,
    triggered,
)

PERCENTILE: Final = 99
# A command's cost beside many objects may be at most this multiple of its cost beside few.
MANY: Final = 100_000
FEW: Final = 100
QUEUE_RATIO_MAX: Final = 3.0
# The maintained hash of a large state may cost at most this share of hashing it from scratch.
HASHED_VALUES: Final = 10_000
DIGEST_RATIO_MAX: Final = 0.05
STOPS: Final = 10_000
# As in the worker, which freezes its loaded objects and then collects rarely.
GC_THRESHOLDS: Final = (50_000, 20, 100)
GROWTH_BOOK_ORDERS: Final = 10_000
DECIMALS_BELOW: Final = 1_000
MILLION: Final = 1_000_000


class Figures(NamedTuple):
    """The figures of one run of a load; the times are of single commands."""

    per_second: float
    p99_us: float
    worst_us: float
    worst_cpu_us: float


class Times(NamedTuple):
    """A duration by the wall clock, and as processor time."""

    wall_ns: int
    cpu_ns: int


def timed(engine: Engine, command: Command) -> Times:
    """Apply one command and return its times."""
    cpu = time.thread_time_ns()
    wall = time.perf_counter_ns()
    engine.apply(command)
    wall = time.perf_counter_ns() - wall
    return Times(wall, time.thread_time_ns() - cpu)


def standing(made: Iterable[Command]) -> Engine:
    """Return an engine after these commands, with its objects frozen for the collector."""
    engine = Engine()
    for command in made:
        engine.apply(command)
    gc.collect()
    gc.freeze()
    return engine


def measure(load: Workload, orders: int) -> Figures:
    """Run a load once for messages a second, and again for the times of single commands."""
    made, commands = load.build(orders)
    apply = standing(made).apply
    started = time.perf_counter()
    for command in commands:
        apply(command)
    seconds = time.perf_counter() - started
    walls_ns, cpus_ns = _each(standing(made), commands)
    walls_ns.sort()
    p99_ns = walls_ns[len(walls_ns) * PERCENTILE // 100]
    return Figures(
        len(commands) / seconds, p99_ns / 1_000, walls_ns[-1] / 1_000, max(cpus_ns) / 1_000
    )


def _each(engine: Engine, commands: list[Command]) -> tuple[list[int], list[int]]:
    """Return wall and processor nanoseconds of every command except sweeps, which have a table.

    They are kept as integers: objects that the collector tracks would make it run.
    """
    walls_ns: list[int] = []
    cpus_ns: list[int] = []
    for command in commands:
        wall_ns, cpu_ns = timed(engine, command)
        if type(command) is not Place or command.quantity_lots < SWEEP_ORDERS:
            walls_ns.append(wall_ns)
            cpus_ns.append(cpu_ns)
    return walls_ns, cpus_ns


def sweep() -> Times:
    """Return the times of one order that fills 5,000 resting orders."""
    _, commands = sweeps(SWEEP_ORDERS)
    return timed(standing(commands[:-1]), commands[-1])


def triggering() -> tuple[Times, Times, Times]:
    """Return the times of a trade that triggers 10,000 stops: it, the longest piece, the sum."""
    made, (trigger,) = triggered(STOPS)
    engine = standing(made)
    first = timed(engine, trigger)
    pieces = []
    while engine.needs_continue(SYMBOL):
        pieces.append(timed(engine, Continue(0, 0, SYMBOL)))
    total = Times(*map(sum, zip(first, *pieces, strict=True)))
    return first, max(pieces, key=lambda times: times.cpu_ns), total


def queue_ratio() -> float:
    """Return the cost of a cancel in a queue of MANY orders, divided by that in a queue of FEW."""
    return _cancel_cpu_ns(MANY, 1) / _cancel_cpu_ns(FEW, MANY // FEW // 10)


def _cancel_cpu_ns(orders: int, rounds: int) -> float:
    spent = 0
    for _ in range(rounds):
        engine = standing(place(number, SELL, MIDDLE, 1) for number in range(orders))
        middle = [*range(orders // 2, orders), *range(orders // 2)]
        commands = [Cancel(number, 0, SYMBOL, number) for number in middle]
        began = time.thread_time_ns()
        for command in commands:
            engine.apply(command)
        spent += time.thread_time_ns() - began
    return spent / (rounds * orders)


def hash_ratio() -> float:
    """Return the cost of the state's hash after one command, divided by that from scratch."""
    engine = standing(CancelAfter(n, 0, SYMBOL, n, MILLION) for n in range(1, HASHED_VALUES + 1))
    advanced_hash(engine)
    engine.apply(CancelAfter(1, 0, SYMBOL, 1, 2 * MILLION))
    costs = []
    for of_state in (advanced_hash, advanced_hash_afresh):
        began = time.thread_time_ns()
        of_state(engine)
        costs.append(time.thread_time_ns() - began)
    return costs[0] / costs[1]


def bytes_per_order(orders: int) -> float:
    """Return the bytes of a resting order with its id and price level; each has its own account."""
    tracemalloc.start()
    engine = Engine()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10**6, 10**6 + orders):
        engine.apply(place(number, number % 2, MIDDLE + (number % 2 * 2 - 1) * (number % 50), 10))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(engine.book(SYMBOL).orders) == orders
    return (after - before) / orders


def growth(messages: int) -> tuple[int, int]:
    """Return the blocks and resident bytes that a steady book adds over `messages` messages."""
    engine = Engine()
    first = GROWTH_BOOK_ORDERS * 10
    steady(engine, range(1, first))
    gc.collect()
    blocks, resident = sys.getallocatedblocks(), _resident_bytes()
    steady(engine, range(first, first + messages * 5 // 11))
    gc.collect()
    return sys.getallocatedblocks() - blocks, _resident_bytes() - resident


def steady(engine: Engine, numbers: range) -> None:
    """Apply a load that keeps at most GROWTH_BOOK_ORDERS orders in the book.

    Of 11 messages 5 place resting orders, 5 cancel the orders placed GROWTH_BOOK_ORDERS before,
    and one trades.
    """
    for number in numbers:
        side = number % 2
        away = -1 if side == BUY else 1
        engine.apply(place(number, side, MIDDLE + away * (1 + number % 97), 10))
        engine.apply(Cancel(number, 0, SYMBOL, number - GROWTH_BOOK_ORDERS))
        if number % 5 == 0:
            engine.apply(place(-number, SELL - side, MIDDLE + away * 100, 10, IOC))


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no resident size")


def spread(values: Iterable[float]) -> str:
    """Return the median, and the lowest and highest in brackets."""
    found = sorted(values)
    form = ",.0f" if found[-1] >= DECIMALS_BELOW else ",.1f"
    low, median, high = (
        format(one, form) for one in (found[0], statistics.median(found), found[-1])
    )
    return f"{median} [{low} .. {high}]"


def print_loads(orders: int, runs: int) -> None:
    """Print a table of the loads."""
    out = sys.stdout
    out.write("| Load | messages/s | p99 us | worst us | worst us, processor time |\n")
    out.write("|---|---|---|---|---|\n")
    for load in WORKLOADS:
        columns = zip(*(measure(load, orders) for _ in range(runs)), strict=True)
        out.write(f"| {load.name} | {' | '.join(map(spread, columns))} |\n")
        out.flush()


def print_singles(runs: int) -> None:
    """Print the times of single large commands."""
    out = sys.stdout
    out.write("\n| Command | ms | ms, processor time |\n|---|---|---|\n")
    triggerings = [triggering() for _ in range(runs)]
    rows = {
        "one order eats 5,000": [sweep() for _ in range(runs)],
        f"a trade triggers {STOPS:,} stops": [one[0] for one in triggerings],
        "the longest `Continue` after it": [one[1] for one in triggerings],
        "all of it": [one[2] for one in triggerings],
    }
    for name, times in rows.items():
        walls, cpus = zip(*times, strict=True)
        columns = [spread(ns / MILLION for ns in clock) for clock in (walls, cpus)]
        out.write(f"| {name} | {' | '.join(columns)} |\n")


def print_ratios(runs: int) -> bool:
    """Print how costs grow with the state; return whether all ratios are in bounds."""
    rows = {
        f"a cancel among {MANY:,} at one price / among {FEW}": (queue_ratio, QUEUE_RATIO_MAX),
        f"the hash beside {HASHED_VALUES:,} cancel-afters / from scratch": (
            hash_ratio,
            DIGEST_RATIO_MAX,
        ),
    }
    sys.stdout.write("\n| Cost | ratio, best of the runs | at most |\n|---|---|---|\n")
    is_good = True
    for name, (measured, ratio_max) in rows.items():
        ratio = min(measured() for _ in range(runs))
        is_good &= ratio <= ratio_max
        sys.stdout.write(f"| {name} | {ratio:.3f} | {ratio_max:g} |\n")
    return is_good


def print_memory(growth_millions: int) -> None:
    """Print the memory of a resting order, and what a steady book keeps of many messages."""
    out = sys.stdout
    out.write(f"\nMemory of a resting order: {bytes_per_order(100_000):.0f} bytes\n")
    if growth_millions:
        blocks, resident = growth(growth_millions * MILLION)
        out.write(
            f"Kept of {growth_millions} million messages on a steady book of "
            f"{GROWTH_BOOK_ORDERS:,} orders: {blocks:+,} blocks, {resident / 1024:+,.0f} KiB\n"
        )


def print_files(files: list[Path], runs: int) -> None:
    """Print the speed of public message files, and their report hashes."""
    if not files:
        return
    sys.stdout.write("\n| File | messages/s | SHA-256 of the report |\n|---|---|---|\n")
    for path in files:
        results = [conform(path) for _ in range(runs)]
        speed = spread(result.messages / result.seconds for result in results)
        (digest,) = {result.sha256 for result in results}
        sys.stdout.write(f"| {path.name} | {speed} | {digest} |\n")
        sys.stdout.flush()


def main() -> int:
    """Print all figures; return 1 if a ratio is out of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--growth", type=int, default=1, help="million messages; 0 leaves it out")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    print_loads(options.orders, options.runs)
    print_singles(options.runs)
    is_good = print_ratios(options.runs)
    print_memory(options.growth)
    print_files(options.files, options.runs)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
