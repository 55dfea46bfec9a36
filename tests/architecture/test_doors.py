"""Passwords are checked in one place, so that no door can forget the throttle."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).parents[2]
APPS = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
# Django's own ways to ask for a password, or to begin a session without asking.
WAYS = {"authenticate", "aauthenticate", "login", "alogin", "check_password", "acheck_password"}
METHODS = {"check_password", "acheck_password"}
PLACE = ROOT / "exchange" / "signin"


def ways_taken(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "django.contrib.auth"
        ):
            yield from WAYS & {alias.name for alias in node.names}
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield node.attr
        if isinstance(node, ast.Attribute) and node.attr in WAYS:
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id == "auth":
                yield f"auth.{node.attr}"


def test_only_the_sign_in_asks_django_who_somebody_is() -> None:
    taken = {
        str(path.relative_to(ROOT)): sorted(set(found))
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if PLACE not in path.parents
        if (found := list(ways_taken(ast.parse(path.read_text()))))
    }
    assert taken == {}


def test_the_throttle_is_part_of_the_only_backend() -> None:
    assert settings.AUTHENTICATION_BACKENDS == ["exchange.signin.backend.ThrottledBackend"]


def test_no_page_of_djangos_own_for_passwords_is_served() -> None:
    """Its views of `django.contrib.auth.urls` would bring forms of their own."""
    assert "django.contrib.auth.urls" not in (ROOT / "config" / "urls.py").read_text()
