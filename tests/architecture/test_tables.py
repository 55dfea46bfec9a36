"""Tables in SQL: an app names its own, reads the catalogue's, and touches nobody else's.

Postgres knows no apps: nothing but this keeps a statement from reaching past import-linter's walls.
Who needs another app's rows in a statement composes it from a piece which that app owns
(wallets/fragments.py). Migrations are left out: they are history.
"""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from django.apps import apps

ROOT: Final = Path(__file__).parents[2]
APPS: Final = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
SOURCES: Final = sorted(
    path.relative_to(ROOT)
    for app in APPS
    for path in (ROOT / app).rglob("*.py")
    if "migrations" not in path.parts
)
# The app below all others: what exists. All may read it, it alone writes it.
CATALOGUE: Final = frozenset({"exchange_asset", "exchange_symbol", "exchange_user"})
EXCEPTIONS: Final = {
    "risk/audit": "compares all tables with each other, by statements of nobody who wrote them",
    "exchange/infra/partition_ranges.py": "the partitioned tables of all apps, in one order",
}
WRITING: Final = r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE|LOCK)\s+"


def owners() -> dict[str, str]:
    """The app of each table that one of our models has."""
    models = apps.get_models(include_auto_created=True)
    return {one._meta.db_table: app for one in models if (app := one._meta.app_label) in APPS}


def texts(tree: ast.Module) -> list[str]:
    """All strings of a module but its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def foreign_tables(app: str, source: str) -> set[str]:
    """The tables that a module of this app names and should not."""
    found = set()
    for text in texts(ast.parse(source)):
        for table, owner in owners().items():
            if owner == app or not re.search(rf"\b{table}\b", text):
                continue
            if table not in CATALOGUE or re.search(rf"{WRITING}{table}\b", text):
                found.add(table)
    return found


@pytest.mark.parametrize(
    ("app", "source", "found"),
    [
        ("orders", '_A = "SELECT available FROM wallets_balance"', {"wallets_balance"}),
        ("orders", '_A = f"""DELETE FROM orders_order WHERE {x}"""', set()),
        ("orders", '_A = "SELECT id FROM exchange_symbol"', set()),
        ("orders", '_A = "UPDATE exchange_symbol SET state = %s"', {"exchange_symbol"}),
        ("exchange", '_A = f"{x} JOIN wallets_account AS a USING (id)"', {"wallets_account"}),
        ("risk", '_A = "SELECT id FROM exchange_apikey"', {"exchange_apikey"}),
        ("matching", '"""Rows of orders_order."""\n_A = "orders_order_p1"', set()),
    ],
)
def test_a_foreign_table_is_seen(app: str, source: str, found: set[str]) -> None:
    assert foreign_tables(app, source) == found


def test_sql_names_no_foreign_table() -> None:
    named = {
        str(path): tables
        for path in SOURCES
        if not any(path.is_relative_to(place) for place in EXCEPTIONS)
        and (tables := foreign_tables(path.parts[0], (ROOT / path).read_text()))
    }
    assert named == {}


@pytest.mark.parametrize("place", EXCEPTIONS)
def test_an_exception_is_needed(place: str) -> None:
    app = Path(place).parts[0]
    inside = [path for path in SOURCES if path.is_relative_to(place)]
    assert any(foreign_tables(app, (ROOT / path).read_text()) for path in inside)
