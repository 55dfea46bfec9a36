"""The walk of one order in ARCHITECTURE.md is what runs: its files, in the order of first entry."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.factories.role import database_url
from tests.waiting import HANG_S

pytestmark = pytest.mark.django_db(transaction=True)

ROOT: Final = Path(__file__).parents[2]
FILES_MAX: Final = 45
HEADING: Final = "\n## One limit order, file by file\n"
_STEP: Final = re.compile(r"^(\d+)\. `([^`]+\.py)`(?: \(`([\w.]+)`\))?: ", re.MULTILINE)
_BESIDE: Final = re.compile(r"^\| (`[^|]+`) \| [^|]+ \|$", re.MULTILINE)
_FILE: Final = re.compile(r"`([^`]+\.py)`")


@pytest.fixture(scope="module")
def page() -> str:
    _, _, after = (ROOT / "ARCHITECTURE.md").read_text().partition(HEADING)
    return after.partition("\n## ")[0]


@pytest.fixture
def walked(base_rows: None, tmp_path: Path) -> dict[str, list[str]]:
    """The functions that one order enters, by file, in a process of its own."""
    out = tmp_path / "walk.json"
    subprocess.run(
        [sys.executable, "-m", "tests.lab.walk", str(out)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url()},
        check=True,
        timeout=HANG_S,
    )
    found: dict[str, list[str]] = json.loads(out.read_text())
    return found


def test_the_page_lists_the_files_that_run(page: str, walked: dict[str, list[str]]) -> None:
    steps = _STEP.findall(page)
    beside = [path for row in _BESIDE.findall(page) for path in _FILE.findall(row)]
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) <= FILES_MAX
    named = {path for _, path, _ in steps} | set(beside)
    assert sorted(named - set(walked)) == [], "no order enters these"
    assert sorted(set(walked) - named) == [], "name these: as a step, or beside the way and why"
    assert [path for _, path, _ in steps] == [path for path in walked if path not in beside]
    assert len(beside) == len(set(beside))
    not_entered = [(path, name) for _, path, name in steps if name and name not in walked[path]]
    assert not_entered == [], "begin with a function that runs"
    assert f"enters {len(walked)} files" in page
    assert f"these {len(steps)} in this order" in page
    assert f"{len(beside)} beside them" in page
