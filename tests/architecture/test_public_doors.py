"""Private names: no test reaches into the `_private` names of what it tests."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
PRODUCT: Final = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
# Names that their owners document, underscore and all.
DOCUMENTED: Final = {
    "_asdict", "_fields", "_make", "_replace",  # named tuples
    "_base_manager", "_default_manager", "_meta",  # Django's models
    "_exit",  # os
}  # fmt: skip
# Django has no other place to say how a transactional test empties its tables.
ALLOWED: Final = {("conftest.py", "_fixture_teardown")}
NAMING_CALLS: Final = {"delattr", "getattr", "hasattr", "object", "patch", "setattr"}


def is_private(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.startswith("_") and not last.startswith("__") and last not in DOCUMENTED | {"_"}


def reaches(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything private that is somebody else's."""
    tree = ast.parse(source)
    own = _own_names(tree)
    product = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PRODUCT
        for name in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, one.name) for one in node.names if is_private(one.name))
        elif isinstance(node, ast.Attribute):
            if is_private(node.attr) and not (_is_self(node.value) or node.attr in own):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and _called(node) in NAMING_CALLS:
            yield from ((node.lineno, name) for name in _texts(node) if is_private(name))
        elif isinstance(node, ast.ClassDef) and product & {ast.unparse(b) for b in node.bases}:
            yield from ((node.lineno, name) for name in _methods(node) if is_private(name))


def _own_names(tree: ast.Module) -> set[str]:
    """What the file's own classes and functions define."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.update([node.attr] if _is_self(node.value) else [])
    return own


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _texts(call: ast.Call) -> list[str]:
    constants = [one.value for one in call.args if isinstance(one, ast.Constant)]
    return [value for value in constants if isinstance(value, str) and value.isascii()]


def _methods(node: ast.ClassDef) -> list[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [one.name for one in node.body if isinstance(one, functions)]


def test_no_test_reaches_into_what_it_tests() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, name in reaches(path.read_text())
        if (str(path.relative_to(TESTS)), name) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from orders.intake import _commit",
        "intake._queue.put(job)",
        "monkeypatch.setattr(selectors, '_copy', 1)",
        "with patch.object(selectors, '_copy', 1): pass",
        "monkeypatch.setattr('orders.intake.process._current', None)",
        "from orders.results import Results\nclass Own(Results):\n    def _write(self): pass",
    ],
)
def test_a_reach_is_seen(source: str) -> None:
    assert list(reaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "class Own:\n    def __init__(self): self._x = 1\nassert Own()._x",
        "User._meta.fields",
        "row._replace(a=1)",
        "os.__name__",
    ],
)
def test_what_is_ones_own_or_documented_is_no_reach(source: str) -> None:
    assert not list(reaches(source))
