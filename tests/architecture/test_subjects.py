"""Subjects of test files: the first line of each says in a sentence what it tests."""

import ast
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
FILES: Final = sorted(TESTS.rglob("test_*.py"))
# A line that begins so tells a story; its subject comes late or not at all.
RIDDLES: Final = ("how ", "that ", "what ", "whatever ", "where ", "who ", "whoever ")


def subject_of(source: str) -> str:
    """The first line of a module's docstring; nothing where there is none."""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def is_plain(subject: str) -> bool:
    """Whether it is a sentence that begins with what is tested."""
    return subject.endswith(".") and not subject.lower().startswith(RIDDLES)


def test_each_test_file_names_its_subject_in_its_first_line() -> None:
    assert len(FILES) > 150
    subjects = {str(path.relative_to(TESTS)): subject_of(path.read_text()) for path in FILES}
    assert {name: line for name, line in subjects.items() if not is_plain(line)} == {}
    assert len(set(subjects.values())) == len(subjects), "two files have one subject"


@pytest.mark.parametrize(
    "source",
    ["import os", '"""What a client sees."""', '"""The feed"""', '"""Whoever asks gets it."""'],
)
def test_a_file_without_a_plain_subject_is_seen(source: str) -> None:
    assert not is_plain(subject_of(source))
