"""Boundaries that import-linter cannot check: bare imports, house words, files that must exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_S

ROOT = Path(__file__).parents[2]
APPS = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
SOURCES = [
    path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts
]
FILE_LINES_MAX = 500
PAGE_LINES_MAX = 200
WALK_LINES_MAX = 45  # one for each file of the walk of one order (test_walk.py)
DRIVERS = ("django", "redis", "psycopg", "celery", "channels", "rest_framework", "asyncio")


@pytest.mark.parametrize(
    "module", ["matching.engine.core", "matching.state.codec", "tests.lab.engine.conformance"]
)
def test_the_engine_alone_pulls_in_no_framework_and_no_driver(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        f"bad = sorted(set({DRIVERS!r}) & set(sys.modules))\n"
        "sys.exit(f'pulled in {bad}' if bad else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_no_module_is_called_after_nothing() -> None:
    shapeless = {"utils", "util", "helpers", "helper", "common", "misc", "base_utils", "tools"}
    assert [str(path) for path in SOURCES if path.stem in shapeless] == []


def test_no_file_grows_past_what_can_be_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    }
    assert long == {}


def test_redis_clients_come_from_the_factory() -> None:
    """redis-py's defaults (a 5 s timeout, silent retries) have no place on the money path."""
    making = re.compile(r"\bRedis\(|\.from_url\(")
    # The stack asks a server whether it is up before Django's settings name it.
    allowed = {"exchange/infra/redis.py", "config/stack/servers.py", "config/stack/stack.py"}
    makers = {str(p.relative_to(ROOT)) for p in SOURCES if making.search(p.read_text())}
    assert makers <= allowed


def test_engine_state_is_never_asserted_away() -> None:
    """`python -O` would drop the assertions that bugs run into."""
    starters = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "config" / "stack").glob("*.py")]
    assert [
        str(p) for p in starters if re.search(r"python3? -O|PYTHONOPTIMIZE", p.read_text())
    ] == []


@pytest.mark.parametrize(
    ("name", "lines_max"),
    [("README.md", PAGE_LINES_MAX), ("ARCHITECTURE.md", PAGE_LINES_MAX + WALK_LINES_MAX)],
)
def test_the_pages_to_begin_with_are_short(name: str, lines_max: int) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert 30 <= len(lines) <= lines_max


def test_every_make_target_has_a_help_text() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", text, flags=re.MULTILINE)
    assert phony is not None
    helped = set(re.findall(r"^([a-z-]+):.*## \S", text, flags=re.MULTILINE))
    assert set(phony[1].split()) == helped


def test_the_lock_file_has_hashes_and_no_addresses() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9].*==", line)]
    assert len(pinned) > 50
    assert all(line.endswith("\\") for line in pinned)
    assert not [line for line in lines if "://" in line]
    assert [line for line in pinned if line.startswith("uv==")]


def test_decision_records_are_numbered_once() -> None:
    names = [path.name for path in (ROOT / "docs" / "adr").glob("*.md")]
    numbers = [name[:4] for name in names]
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names)
    assert len(numbers) == len(set(numbers))
