"""The words of docs/glossary.md: none that was given up is a name in the product again."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.test_boundaries import ROOT, SOURCES

# Whole words of a name, split at underscores and capitals.
GIVEN_UP = re.compile(
    r"(?:^|_)(?:desks?|elect(?:ed)?|woken|earmark|tally|shard(?:s|ed)?|agenda|causal|outbox(?:es)?"
    r"|mirrors?|nudge|(?:door)?bell|readback|timers?|holds?_atoms|list_holds)(?:_|$)"
)
# Stored, sent, or a reason's name: the glossary says so.
KEPT = {"ORDER_CANCELLED_BY_TIMER"}


def words(name: str) -> str:
    """Return a name as words with underscores: `DeskEvent` is `desk_event`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def names(source: str) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def given_up(source: str) -> set[str]:
    """Return the names that use a word that was given up."""
    return {name for name in names(source) if GIVEN_UP.search(words(name))} - KEPT


def test_no_word_that_was_given_up_is_a_name() -> None:
    found = {
        str(path.relative_to(ROOT)): given_up(path.read_text(encoding="utf-8")) for path in SOURCES
    }
    assert {path: sorted(bad) for path, bad in found.items() if bad} == {}


@pytest.mark.parametrize("name", ["Desk", "apply_at_desk", "_elected_next", "BELL_LIFE_MS"])
def test_a_word_that_was_given_up_is_found(name: str) -> None:
    assert given_up(f"{name} = 1") == {name}


@pytest.mark.parametrize("name", ["selected", "household", "threshold", "label", "cancel_after"])
def test_a_word_that_only_looks_like_one_is_not(name: str) -> None:
    assert given_up(f"{name} = 1") == set()


def test_each_file_that_the_glossary_names_is_there() -> None:
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    files = re.findall(r"`([\w/-]+\.(?:py|md))`", page)
    assert len(files) > 40
    assert [name for name in files if not (ROOT / name).is_file()] == []
