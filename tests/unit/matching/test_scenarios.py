"""Rules 12 and up, as scenarios in files (scenarios/*.log, read by tests/scenario.py).

A block begins with `## RULE what it shows`. Every rule it cites stands in matching/README.md.
"""

import re
from pathlib import Path

import pytest

from tests.scenario import run

FOLDER = Path(__file__).parent / "scenarios"
README = Path(__file__).resolve().parents[3] / "matching" / "README.md"
SCENARIOS_MIN = 250


def blocks() -> list[tuple[str, str]]:
    """Return (title, log) of every scenario."""
    found = []
    for path in sorted(FOLDER.glob("*.log")):
        for block in path.read_text().split("## ")[1:]:
            title, _, log = block.partition("\n")
            found.append((title, log))
    return found


@pytest.mark.parametrize("log", [pytest.param(log, id=title) for title, log in blocks()])
def test_scenario(log: str) -> None:
    run(log)


def test_every_scenario_cites_a_rule_and_every_rule_has_one() -> None:
    rules = set(re.findall(r"^- \*\*(\d+\.\d+)\*\*", README.read_text(), re.MULTILINE))
    cited = {title.split()[0] for title, _ in blocks()}
    assert cited <= rules, f"no such rule: {cited - rules}"
    in_files = {rule for rule in rules if 12 <= int(rule.split(".")[0]) <= 24}
    assert in_files <= cited, f"no scenario: {in_files - cited}"


def test_there_are_enough_scenarios_and_no_two_have_one_name() -> None:
    titles = [title for title, _ in blocks()]
    assert len(titles) == len(set(titles)) >= SCENARIOS_MIN
