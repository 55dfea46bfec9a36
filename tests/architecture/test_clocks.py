"""Clocks in tests: no test asserts a speed, nor sleeps and hopes.

Speed is measured by the benches. A test counts, or waits with the one guard against hanging:
tests/README.md.
"""

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
STOPWATCHES: Final = re.compile(r"(monotonic|perf_counter|thread_time|process_time)(_ns)?")
MAY_MEASURE: Final = {
    "waiting.py": "the guard itself",
    "e2e/browser.py": "waits for a page, and tells what it shows",
    "flakes.py": "tells how long a run took",
    "fuzz.py": "searches for as long as it is told to",
}
CALENDARS: Final = {"time", "time_ns", "now", "utcnow"}
MAY_SLEEP: Final = {
    "waiting.py": "the guard itself",
    "e2e/browser.py": "between two looks at a page",
    "e2e/screenshot.py": "no test: lets a market move",
    "factories/trading.py": "two signatures of one millisecond would be one",
    "concurrency/test_pairs_under_load.py": "leaves the processors to the others",
    "concurrency/test_settling.py": "the settlement's pace: a little late",
    "e2e/test_trading_page.py": "intake may look at prices of a moment ago",
    "services/test_feed_slow_client.py": "the publisher's pace",
    "services/test_health.py": "what is timed has to take time",
    "unit/replay/venue_server.py": "a slow venue, on demand",
}
WAITS: Final = {"wait", "join", "result", "timeout", "wait_for"}
TIME_OUTS: Final = {"timeout", "open_timeout", "timeout_seconds"}
GUARD_SECONDS_MIN: Final = 30  # a time-out from one second to this is a promise of speed


@cache
def nodes() -> dict[str, list[ast.AST]]:
    """All that the files of tests consist of, by their names."""
    return {
        str(path.relative_to(TESTS)): list(ast.walk(ast.parse(path.read_text())))
        for path in sorted(TESTS.rglob("*.py"))
        if "lab" not in path.relative_to(TESTS).parts  # measuring is its trade
    }


def called(node: ast.AST) -> str:
    """The last name of what is called; nothing if it is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def names(node: ast.AST) -> set[str]:
    """The last names that an expression or an import speaks of."""
    found = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute):
            found.add(one.attr)
        elif isinstance(one, ast.Name):
            found.add(one.id)
        elif isinstance(one, ast.alias):
            found.add(one.name)
    return found


def stopwatch(node: ast.AST) -> bool:
    """Any use of a clock that is there to measure durations."""
    if isinstance(node, ast.Attribute | ast.Name | ast.alias):
        return any(STOPWATCHES.fullmatch(name) for name in names(node))
    return False


def duration_compared(node: ast.AST) -> bool:
    """A difference from the time of day in a comparison."""
    if not isinstance(node, ast.Compare):
        return False
    return any(
        isinstance(one, ast.BinOp)
        and isinstance(one.op, ast.Sub)
        and any(called(part) in CALENDARS for part in ast.walk(one))
        for one in ast.walk(node)
    )


def sleep(node: ast.AST) -> bool:
    """A sleep that hopes. (In asyncio it lets the others have their turn.)"""
    return called(node) == "sleep" and "asyncio" not in names(node)


def short_time_out(node: ast.AST) -> bool:
    """A number of seconds that a busy machine may need."""
    if not isinstance(node, ast.Call):
        return False
    given = [one.value for one in node.keywords if one.arg in TIME_OUTS]
    if called(node) in WAITS:
        given += node.args
    return any(
        isinstance(one, ast.Constant)
        and isinstance(one.value, int | float)
        and 1 <= one.value < GUARD_SECONDS_MIN
        for one in given
    )


def other_databases(node: ast.AST) -> bool:
    """A look at the sessions of the server, which are those of other processes' tests as well."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    return (
        "FROM pg_stat_activity" in node.value and "datname = current_database()" not in node.value
    )


RULES: Final[list[tuple[Callable[[ast.AST], bool], set[str], str]]] = [
    (stopwatch, set(MAY_MEASURE), "count (tests/steps.py) or wait (tests/waiting.py)"),
    (duration_compared, set(), "count, or compare moments: before <= seen <= after"),
    (sleep, set(MAY_SLEEP), "wait for what is to happen: tests/waiting.py"),
    (short_time_out, set(), "HANG_S of tests/waiting.py"),
    (other_databases, {"architecture/test_clocks.py"}, "add: AND datname = current_database()"),
]


@pytest.mark.parametrize(("rule", "free", "instead"), RULES, ids=[r[0].__name__ for r in RULES])
def test_tests_know_no_speed(rule: Callable[[ast.AST], bool], free: set[str], instead: str) -> None:
    found = [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, found_in in nodes().items()
        if name not in free
        for node in found_in
        if rule(node)
    ]
    assert found == [], f"instead: {instead}"


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (stopwatch, "assert time.perf_counter() - began < 5", "time.time_ns()"),
        (stopwatch, "from time import monotonic", "from time import time_ns"),
        (duration_compared, "assert time.time() - began < limit", "assert time.time() > before"),
        (duration_compared, "abs(at - datetime.now(UTC)) < near", "datetime.now(UTC) - day"),
        (sleep, "time.sleep(0.1)", "clock.sleep_ms(3)"),
        (short_time_out, "process.wait(5)", "process.wait(HANG_S)"),
        (short_time_out, "run(words, timeout=20.0)", "receive_nothing(timeout=0.2)"),
        (other_databases, "'SELECT 1 FROM pg_stat_activity'", "'SELECT 1'"),
    ],
)
def test_the_rules_tell_bad_from_good(rule: Callable[[ast.AST], bool], bad: str, good: str) -> None:
    assert any(rule(node) for node in ast.walk(ast.parse(bad)))
    assert not any(rule(node) for node in ast.walk(ast.parse(good)))
