"""The loads of tests/lab/engine/bench.py: commands that build a book, and commands to time."""

import random
from collections.abc import Callable
from typing import Final, NamedTuple

from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    FEATURE_REPORT_PREVENTED,
    IOC,
    SELL,
    TRIGGER_STOP,
    Amend,
    Cancel,
    Command,
    Place,
    SetBand,
    SetFeature,
    SetLimits,
    Terms,
)

SYMBOL: Final = 1
MIDDLE: Final = 1_000_000
SEED: Final = 7
SWEEP_ORDERS: Final = 5_000
MESSAGES: Final = 100_000
# The commands of a load span an hour of engine time, so that a band has a mean to follow.
LOAD_MS: Final = 3_600_000

# Commands that build the book, and commands to time.
Built = tuple[list[Command], list[Command]]


class Workload(NamedTuple):
    """A load's name, and the function that builds it for a number of orders."""

    name: str
    build: Callable[[int], Built]


def place(number: int, side: int, price: int, lots: int, tif: int = 0) -> Place:
    """Return an order whose account has no other order."""
    return Place(number, 0, SYMBOL, number, number, side, price, lots, tif)


def ground(orders: int, levels: int) -> list[Command]:
    """Return resting orders, spread evenly over this many levels of each side."""
    made: list[Command] = []
    for number in range(1, orders + 1):
        distance = 1 + (number // 2) % levels
        if number % 2:
            made.append(place(number, BUY, MIDDLE - distance, 10))
        else:
            made.append(place(number, SELL, MIDDLE + distance, 10))
    return made


def mixed(orders: int, levels: int) -> Built:
    """Adds, cancels, amends and small takers on a book of resting orders."""
    chance = random.Random(SEED)
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


def deep(orders: int) -> Built:
    """Few prices with many orders each."""
    return mixed(orders, 50)


def wide(orders: int) -> Built:
    """Many prices with few orders each."""
    return mixed(min(orders, 50_000), 5_000)


def fat(orders: int) -> Built:
    """Half of the orders rest at one price; the other half fill them one lot at a time."""
    count = orders // 2
    made: list[Command] = [place(n, SELL, MIDDLE, 1) for n in range(1, count + 1)]
    load: list[Command] = [
        place(n, BUY, MIDDLE, 1, IOC) for n in range(count + 1, count + 1 + count)
    ]
    return made, load


def storm(orders: int) -> Built:
    """A cancel of every order, in random order."""
    ids = list(range(1, orders + 1))
    random.Random(SEED).shuffle(ids)
    return ground(orders, 50), [Cancel(n, 0, SYMBOL, n) for n in ids]


def sweeps(orders: int) -> Built:
    """Books of 5,000 orders on 500 levels, each filled by one order; building them is timed."""
    load: list[Command] = []
    for start in range(0, orders, SWEEP_ORDERS):
        first = 1 + start * 2
        load += [place(first + n, SELL, MIDDLE + n % 500, 1) for n in range(SWEEP_ORDERS)]
        load.append(place(first + SWEEP_ORDERS, BUY, MIDDLE + 500, SWEEP_ORDERS, IOC))
    return [], load


def with_feature(orders: int) -> Built:
    """The deep book of a symbol that has advanced state."""
    made, load = deep(orders)
    return [SetFeature(1, 0, SYMBOL, FEATURE_REPORT_PREVENTED, True), *made], load


def with_band(orders: int) -> Built:
    """The deep book inside a price band that follows the trades."""
    made, load = deep(orders)
    for at, command in enumerate(load):
        command.time_ms = at * LOAD_MS // len(load)
    band = SetBand(1, 0, SYMBOL, 100_000, MIDDLE, limit_ms=15_000, pause_ms=60_000, call_ms=60_000)
    return [band, *made], load


def with_limits(orders: int) -> Built:
    """The deep book with bounds on what an account may have open."""
    made, load = deep(orders)
    return [SetLimits(1, 0, SYMBOL, ALL_ACCOUNTS, 200, 20), *made], load


def triggered(stops: int) -> Built:
    """Sell stops that one trade triggers, with bids for all of them."""
    terms = Terms(TRIGGER_STOP, MIDDLE)
    made: list[Command] = [place(n, BUY, MIDDLE - 100 - n % 50, 1) for n in range(1, stops + 1)]
    for number in range(stops + 1, 2 * stops + 1):
        stop = place(number, SELL, MIDDLE - 500, 1, IOC)
        stop.market, stop.terms = True, terms
        made.append(stop)
    made.append(place(2 * stops + 1, SELL, MIDDLE - 1, 1))
    return made, [place(2 * stops + 2, BUY, MIDDLE - 1, 1)]


WORKLOADS: Final = (
    Workload("deep book, 50 levels a side", deep),
    Workload("wide book, 5,000 levels a side", wide),
    Workload("one fat level eaten by small takers", fat),
    Workload("cancel storm", storm),
    Workload("5,000-order sweeps", sweeps),
    Workload("deep book with advanced state", with_feature),
    Workload("deep book in a price band", with_band),
    Workload("deep book with limits", with_limits),
)
