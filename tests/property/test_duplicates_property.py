"""Duplicate names in JSON: found at any depth and in any spelling, and nothing else is."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.domain.codes import Code
from exchange.domain.duplicates import duplicates_check
from exchange.domain.errors import DomainError

# A JSON text as it is written: an object is a list of pairs, so that names can stand twice, and a
# name carries for each of its characters whether it is written as an escape.
NAMES = st.text(alphabet='ab\u00e9\U0001f600/"\\\n\x00', max_size=2)
SPELLED = st.tuples(NAMES, st.lists(st.booleans(), min_size=2, max_size=2))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
SPACE = st.sampled_from(["", " ", "\n\t"])


class Pairs(list[tuple[tuple[str, list[bool]], Any]]):
    """An object."""


VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(SPELLED, inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


def spelled(name: str, escaped: list[bool]) -> str:
    """The name in quotes, in one of the ways that JSON has to write it."""
    written = []
    for index, character in enumerate(name):
        if escaped[index % len(escaped)]:
            units = character.encode("utf-16-be")
            pieces = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
            written.append("".join(f"\\u{piece}" for piece in pieces))
        else:
            written.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return f'"{"".join(written)}"'


def text_of(value: Any, space: str) -> str:
    if isinstance(value, Pairs):
        pairs = [f"{spelled(*name)}{space}:{text_of(one, space)}" for name, one in value]
        return space + "{" + f"{space},".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text_of(one, space) for one in value) + "]" + space
    return json.dumps(value)


def names_twice(value: Any) -> set[str]:
    """The slow and obvious way, on what was meant."""
    found: set[str] = set()
    if isinstance(value, Pairs):
        names = [name for (name, _), _ in value]
        found |= {name for name in names if names.count(name) > 1}
        for _, one in value:
            found |= names_twice(one)
    elif isinstance(value, list):
        for one in value:
            found |= names_twice(one)
    return found


@given(VALUES, SPACE)
@example(Pairs([(("ab", [False]), 1), (("ab", [True]), 2)]), "")
def test_a_name_that_stands_twice_is_found_and_nothing_else(value: Any, space: str) -> None:
    data = text_of(value, space).encode()
    msgspec.json.decode(data)  # a JSON text, so this is what the check runs on
    twice = names_twice(value)
    if not twice:
        duplicates_check(data)
        return
    with pytest.raises(DomainError) as raised:
        duplicates_check(data)
    assert raised.value.code is Code.REQUEST_DUPLICATE_FIELD
    assert raised.value.field in twice


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a" 1}', b"{'a':1}", b'{"a":1,}']
)
def test_what_is_no_json_is_malformed(data: bytes) -> None:
    with pytest.raises(DomainError) as raised:
        duplicates_check(data)
    assert raised.value.code is Code.REQUEST_MALFORMED


def test_long_numbers_are_no_fault() -> None:
    duplicates_check(b'{"a":' + b"9" * 8_000 + b"}")
