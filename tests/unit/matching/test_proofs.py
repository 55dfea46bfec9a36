"""The tools that prove and measure the engine: what they report is true."""

import gc
import re
from collections.abc import Iterator

import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.fuzz import fuzz
from tests.lab.engine import bench, workloads
from tests.mutations import FAULTS, ROOT

ORDERS = 400


@pytest.fixture
def small_loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loads of a few messages; what was frozen for a measurement is the collector's again."""
    monkeypatch.setattr(workloads, "MESSAGES", 300)
    monkeypatch.setattr(workloads, "SWEEP_ORDERS", 100)
    monkeypatch.setattr(bench, "SWEEP_ORDERS", 100)
    monkeypatch.setattr(bench, "STOPS", 250)
    monkeypatch.setattr(bench, "MANY", 2_000)
    monkeypatch.setattr(bench, "HASHED_VALUES", 200)
    yield
    gc.unfreeze()


def test_every_planted_fault_is_listed_and_every_place_is_there() -> None:
    readme = (ROOT / "matching" / "README.md").read_text()
    listed = re.findall(r"^- (.+)$", readme.partition("## Planted faults\n")[2], re.MULTILINE)
    assert listed == [fault.name for fault in FAULTS]
    for fault in FAULTS:
        assert (ROOT / "matching" / fault.file).read_text().count(fault.old) == 1, fault.name


def test_fuzz_tells_what_it_did() -> None:
    run = fuzz(700, 60, seed=3)
    assert (run.seed, run.commands, run.histories, run.restores) == (3, 700, 2, 9)
    assert sum(run.events.values()) >= 700


@pytest.mark.usefixtures("small_loads")
@pytest.mark.parametrize("load", [pytest.param(load, id=load.name) for load in workloads.WORKLOADS])
def test_load_does_what_its_name_says(load: workloads.Workload) -> None:
    made, commands = load.build(ORDERS)
    engine = Engine()
    for command in made:
        engine.apply(command)
    standing = len(engine.book(workloads.SYMBOL).orders)
    kinds = [type(event) for command in commands for event in engine.apply(command)]
    engine.check()
    assert m.OrderRejected not in kinds
    left = len(engine.book(workloads.SYMBOL).orders)
    match load.name.split(maxsplit=1)[0]:
        case "one":
            assert (standing, left, kinds.count(m.Trade)) == (ORDERS // 2, 0, ORDERS // 2)
        case "cancel":
            assert (standing, left, kinds.count(m.OrderCancelled)) == (ORDERS, 0, ORDERS)
        case "5,000-order":
            assert (standing, left, kinds.count(m.Trade)) == (0, 0, ORDERS)
        case _:
            assert standing >= ORDERS
            assert kinds.count(m.Trade) > 10
            assert kinds.count(m.OrderAmended) > 10
    is_advanced = engine.book(workloads.SYMBOL).advanced is not None
    assert is_advanced == load.name.endswith(("advanced state", "band", "limits"))


@pytest.mark.usefixtures("small_loads")
def test_figures_are_of_the_load() -> None:
    figures = bench.measure(workloads.WORKLOADS[0], ORDERS)
    assert figures.per_second > 0
    assert 0 < figures.p99_us <= figures.worst_us
    assert figures.worst_cpu_us > 0


@pytest.mark.usefixtures("small_loads")
def test_one_trade_triggers_all_stops() -> None:
    made, (trigger,) = workloads.triggered(250)
    engine = Engine()
    for command in made:
        engine.apply(command)
    engine.apply(trigger)
    advanced = engine.book(workloads.SYMBOL).advanced
    assert advanced is not None
    assert advanced.triggered_live == 150
    first, longest, total = bench.triggering()
    assert total.wall_ns >= first.wall_ns + longest.wall_ns
    assert bench.sweep().wall_ns > 0


@pytest.mark.usefixtures("small_loads")
def test_a_ratio_out_of_its_bounds_fails_the_bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUEUE_RATIO_MAX", float("inf"))
    monkeypatch.setattr(bench, "DIGEST_RATIO_MAX", float("inf"))
    assert bench.print_ratios(1)
    assert len(capsys.readouterr().out.splitlines()) == 5
    monkeypatch.setattr(bench, "DIGEST_RATIO_MAX", 0)
    assert not bench.print_ratios(1)


def test_a_steady_book_keeps_nothing_of_what_came_and_went() -> None:
    engine = Engine()
    bench.steady(engine, range(1, 30_000))
    orders = len(engine.book(workloads.SYMBOL).orders)
    blocks, _ = bench.growth(40_000)
    assert 0 < orders <= bench.GROWTH_BOOK_ORDERS
    assert abs(blocks) < 5_000, "one block a message would be 40,000"


def test_spread_is_median_lowest_highest() -> None:
    assert bench.spread([3.04, 1.0, 2.0]) == "2.0 [1.0 .. 3.0]"
    assert bench.spread([3_000, 1_000.4, 2_000]) == "2,000 [1,000 .. 3,000]"
