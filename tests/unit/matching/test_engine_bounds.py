"""Bounds of the engine: its cost and memory with long queues and any hash seed (rules 1.2, 2.6)."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.steps import steps_of
from tests.waiting import HANG_S

FAT_ORDERS = 21_000  # so many that the index of orders is split
SHORT_ORDERS = 100
COMMANDS = 1_000
# Counted: 1.1. A queue that moved its elements would be far beyond.
COST_RATIO_MAX = 1.5
PROJECT_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def queue(orders: int) -> Engine:
    engine = Engine()
    for order_id in range(1, orders + 1):
        engine.apply(m.Place(order_id, 0, 1, order_id, order_id, m.SELL, 100, 1))
    return engine


def steps_each(engine: Engine, commands: list[m.Command]) -> float:
    def apply() -> None:
        for command in commands:
            engine.apply(command)

    return steps_of(apply) / len(commands)


def takes(orders: int) -> list[m.Command]:
    return [m.Place(o, 0, 1, o, o, m.BUY, 100, 1) for o in range(10**6, 10**6 + orders)]


def cancels_from_the_middle(orders: int) -> list[m.Command]:
    """Every second order, then the others: neither end of the queue is ever favoured."""
    middle = [*range(orders // 2, orders + 1), *range(1, orders // 2)]
    return [m.Cancel(o, 0, 1, o) for o in (*middle[::2], *middle[1::2])]


@pytest.mark.parametrize("commands", [takes, cancels_from_the_middle])
def test_2_6_long_queue_costs_no_more_per_order_than_a_short_one(
    commands: Callable[[int], list[m.Command]],
) -> None:
    fat = steps_each(queue(FAT_ORDERS), commands(FAT_ORDERS)[:COMMANDS])
    short = steps_each(queue(SHORT_ORDERS), commands(SHORT_ORDERS))
    assert fat < short * COST_RATIO_MAX, (fat, short)


@pytest.mark.usefixtures("collector_off")
def test_orders_that_left_are_freed_without_the_collector() -> None:
    engine = Engine()

    def a_day() -> None:
        for number in range(1, 2_001):
            side = m.BUY if number % 2 else m.SELL
            price = 100 - number % 7 if side == m.BUY else 101 + number % 7
            engine.apply(m.Place(number, 0, 1, number, number % 50, side, price, 3))
            if number % 3 == 0:
                engine.apply(m.Amend(0, 0, 1, number, price, 2))
            if number % 5 == 0:
                engine.apply(m.Place(0, 0, 1, 10**6, 99, m.BUY, 110, 4, m.IOC))
        for account_id in range(50):
            engine.apply(m.CancelAll(0, 0, 1, account_id))

    a_day()
    blocks = sys.getallocatedblocks()
    for _ in range(5):
        a_day()
    book = engine.book(1)
    assert not book.orders
    assert not list(book.by_account())
    assert not any(side.keys or side.levels for side in (book.bids, book.asks))
    # One leaked order a command would be tens of thousands of blocks.
    assert sys.getallocatedblocks() - blocks < 1_000


def test_1_2_events_and_hash_are_the_same_under_any_hash_seed() -> None:
    """D1."""
    script = (
        "from hashlib import sha256\n"
        "from matching.state.codec import encode_journal\n"
        "from matching.engine.journal import Sequenced\n"
        "from matching.engine.core import Engine\n"
        "from matching.state.hash import state_hash\n"
        "from tests.property.test_engine_long_run import history\n"
        "engine = Engine()\n"
        "rows = [Sequenced(n, c, engine.apply(c)) for n, c in enumerate(history(5), start=1)]\n"
        "assert engine.book(1).orders\n"
        "print(sha256(encode_journal(rows)).hexdigest(), state_hash(engine))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=PROJECT_ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=HANG_S,
        ).stdout
        for seed in ("0", "1", "424242")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 2


def test_engine_imports_neither_the_framework_nor_a_driver() -> None:
    script = (
        "import sys, matching.engine.core, matching.state.codec, matching.state.hash\n"
        "print([n for n in ('django', 'redis', 'psycopg', 'celery') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.stdout == "[]\n"
