"""Measure the engine alone: `python -m tests.lab.engine.bench [--orders N] [--runs N] [FILE ...]`.

Loads (tests/lab/engine/workloads.py), each run several times: messages a second, then in another
pass the 99th percentile and the worst of a single command. The median is told, and the lowest and
highest in brackets. Then single sweeps, 10,000 stops that one trade triggers, what much state makes
of the cost of a little work, the memory of a resting order, what a steady book keeps of `--growth`
million messages, and the public message files given.

A command's time is told twice: by the wall clock, and as processor time of the thread. Where only
the first is long, the machine was busy with something else. The cycle collector is set as in the
worker. What a load rests on is built before and not timed. The output is a table in Markdown.
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
# Many and few of what a command must not look at, and what its cost may be multiplied by.
MANY: Final = 100_000
FEW: Final = 100
QUEUE_RATIO_MAX: Final = 3.0
# The kept hash of much state against the same from scratch.
HASHED_VALUES: Final = 10_000
DIGEST_RATIO_MAX: Final = 0.05
STOPS: Final = 10_000
# As in the worker, which freezes what it loaded and then collects seldom.
GC_THRESHOLDS: Final = (50_000, 20, 100)
GROWTH_BOOK_ORDERS: Final = 10_000
DECIMALS_BELOW: Final = 1_000
MILLION: Final = 1_000_000


class Figures(NamedTuple):
    """One run of a load. Times are those of single commands."""

    per_second: float
    p99_us: float
    worst_us: float
    worst_cpu_us: float


class Times(NamedTuple):
    """How long something took, by the wall clock and of the processor."""

    wall_ns: int
    cpu_ns: int


def timed(engine: Engine, command: Command) -> Times:
    """Apply one command and return how long it took."""
    cpu = time.thread_time_ns()
    wall = time.perf_counter_ns()
    engine.apply(command)
    wall = time.perf_counter_ns() - wall
    return Times(wall, time.thread_time_ns() - cpu)


def standing(made: Iterable[Command]) -> Engine:
    """Return an engine after these commands, the collector settled."""
    engine = Engine()
    for command in made:
        engine.apply(command)
    gc.collect()
    gc.freeze()
    return engine


def measure(load: Workload, orders: int) -> Figures:
    """Run a load once for its speed and once more for single commands."""
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
    """Wall and processor nanoseconds of every command but sweeps, which have their own line.

    Kept as plain numbers: objects that the collector follows would make it run.
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
    """How long one order takes that eats 5,000 others."""
    _, commands = sweeps(SWEEP_ORDERS)
    return timed(standing(commands[:-1]), commands[-1])


def triggering() -> tuple[Times, Times, Times]:
    """One trade triggers 10,000 stops: that command, the longest piece after it, all of them."""
    made, (trigger,) = triggered(STOPS)
    engine = standing(made)
    first = timed(engine, trigger)
    pieces = []
    while engine.needs_continue(SYMBOL):
        pieces.append(timed(engine, Continue(0, 0, SYMBOL)))
    total = Times(*map(sum, zip(first, *pieces, strict=True)))
    return first, max(pieces, key=lambda times: times.cpu_ns), total


def queue_ratio() -> float:
    """What a cancel in the middle of a very long queue costs, in cancels in a short one."""
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
    """What the hash of the state costs after one command, in the cost of all of it from scratch."""
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


def growth(messages: int) -> tuple[int, int]:
    """Blocks and bytes of the process that a steady book keeps of so many messages more."""
    engine = Engine()
    first = GROWTH_BOOK_ORDERS * 10
    steady(engine, range(1, first))
    gc.collect()
    blocks, resident = sys.getallocatedblocks(), _resident_bytes()
    steady(engine, range(first, first + messages * 5 // 11))
    gc.collect()
    return sys.getallocatedblocks() - blocks, _resident_bytes() - resident


def steady(engine: Engine, numbers: range) -> None:
    """Orders that come, and leave by a trade or when so many have come after them.

    Of 11 messages 5 are orders that rest, 5 cancels, and one takes.
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


def tell_loads(orders: int, runs: int) -> None:
    """Print a table of the loads."""
    out = sys.stdout
    out.write("| Load | messages/s | p99 us | worst us | worst us, processor time |\n")
    out.write("|---|---|---|---|---|\n")
    for load in WORKLOADS:
        columns = zip(*(measure(load, orders) for _ in range(runs)), strict=True)
        out.write(f"| {load.name} | {' | '.join(map(spread, columns))} |\n")
        out.flush()


def tell_singles(runs: int) -> None:
    """Print what single large commands take."""
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


def tell_ratios(runs: int) -> bool:
    """Print what much state makes of the cost of a little work; return whether all is in bounds."""
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


def tell_memory(growth_millions: int) -> None:
    """Print what a resting order costs, and what is left of messages that came and went."""
    out = sys.stdout
    out.write(f"\nMemory of a resting order: {bytes_per_order(100_000):.0f} bytes\n")
    if growth_millions:
        blocks, resident = growth(growth_millions * MILLION)
        out.write(
            f"Kept of {growth_millions} million messages on a steady book of "
            f"{GROWTH_BOOK_ORDERS:,} orders: {blocks:+,} blocks, {resident / 1024:+,.0f} KiB\n"
        )


def tell_files(files: list[Path], runs: int) -> None:
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
    tell_loads(options.orders, options.runs)
    tell_singles(options.runs)
    is_good = tell_ratios(options.runs)
    tell_memory(options.growth)
    tell_files(options.files, options.runs)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
