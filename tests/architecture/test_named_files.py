"""Files and modules that documents, docstrings and comments name are there."""

import ast
import itertools
import re
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = (
    "adminpanel|config|deploy|docs|exchange|matching|orders|risk|templates|tests|wallets"
)
APPS: Final = "adminpanel|config|exchange|matching|orders|risk|tests|wallets"
# `orders/intake/sql.py`, `wallets/{postings,fees}.py`, `docs/adr/0014`, `orders/markets/`
PATH: Final = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w/{{}},.-]*[\w}}/]")
# `orders.intake`, `exchange.infra.partition_ranges.ORDERS`, `risk.pretrade.{{rules,services}}`
DOTTED: Final = re.compile(rf"(?<![\w./-])(?:{APPS})(?:\.[\w{{}},]+)+")
NUMBERED: Final = re.compile(r"docs/adr/\d{4}|\w+/migrations/\d{4}")
UNITS: Final = frozenset({"orders/s"})
# What Django gives each model.
PERMISSION: Final = re.compile(r"\w+\.(?:view|add|change|delete)_\w+")
# The left column of a map of moves names what is gone.
GONE: Final = re.compile(r"^- `[^`]+` → ", flags=re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in found.stdout.split("\0") if name]


FILES: Final = tracked()
NAMES: Final = frozenset(map(str, FILES)) | {
    str(folder) for path in FILES for folder in path.parents
}
DOCUMENTS: Final = [path for path in FILES if path.suffix == ".md"]
SOURCES: Final = [path for path in FILES if path.suffix == ".py" and "migrations" not in path.parts]


def spread(name: str) -> list[str]:
    """`a/{b,c}.py` is two names."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", name)]
    return ["".join(chosen) for chosen in itertools.product(*pieces)]


def path_exists(name: str) -> bool:
    """A file or folder, or with the end left out: a module without `.py`, an ADR by its number."""
    name = name.rstrip("/")
    if name in NAMES or f"{name}.py" in NAMES:
        return True
    return NUMBERED.fullmatch(name) is not None and any(
        re.match(rf"{name}[-_]", known) for known in NAMES
    )


def defined_names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update({one.id: node for one in targets if isinstance(one, ast.Name)})
    return names


def module_exists(name: str) -> bool:
    """A package, a module, or what one defines: a class, a function, a constant, a method."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length])
        if path in NAMES and length == len(parts):
            return True
        if f"{path}.py" in NAMES:
            body = ast.parse((ROOT / f"{path}.py").read_text()).body
            for part in parts[length:]:
                node = defined_names(body).get(part)
                if node is None:
                    return False
                body = node.body if isinstance(node, ast.ClassDef) else []
            return True
    return False


def prose(path: Path) -> str:
    """What a reader reads: a document without its old names; of a module comments and strings."""
    text = (ROOT / path).read_text()
    if path.suffix == ".md":
        return GONE.sub("", text)
    lines = text.splitlines()
    comments = [line[line.index("#") :] for line in lines if "#" in line]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return "\n".join([*comments, *(ast.get_docstring(node) or "" for node in nodes)])


def missing_paths(text: str) -> list[str]:
    named = {name for found in PATH.findall(text) for name in spread(found)} - UNITS
    return sorted(name for name in named if not path_exists(name))


def missing_modules(text: str) -> list[str]:
    named = {name for found in DOTTED.findall(text) for name in spread(found)}
    return sorted(name for name in named if not (PERMISSION.match(name) or module_exists(name)))


def test_what_is_gone_is_seen() -> None:
    text = (
        "`orders/intake/sql.py`, orders/{tasks,gone}.py, `docs/adr/0099` (wallets/migrations/0011)"
    )
    assert missing_paths(text) == ["docs/adr/0099", "orders/gone.py"]
    text = "`orders.intake`, `wallets.{fees,gone}`, exchange.infra.partition_ranges.{ORDERS,GONE}"
    assert missing_modules(text) == ["exchange.infra.partition_ranges.GONE", "wallets.gone"]


def test_files_that_are_named_exist() -> None:
    missing = {str(path): missing_paths(prose(path)) for path in [*DOCUMENTS, *SOURCES]}
    assert {path: names for path, names in missing.items() if names} == {}


def test_modules_that_documents_name_exist() -> None:
    """Or the name is a word of the product: a log event, a task."""
    words = "\n".join((ROOT / path).read_text() for path in SOURCES)
    missing = {
        str(path): [name for name in missing_modules(prose(path)) if f'"{name}"' not in words]
        for path in DOCUMENTS
    }
    assert {path: names for path, names in missing.items() if names} == {}
