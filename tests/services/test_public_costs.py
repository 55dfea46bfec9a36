"""Costs of a stranger's request, in queries, templates and descriptions."""

import gzip
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, get_resolver
from drf_spectacular.generators import SchemaGenerator

from exchange.api import documents
from tests.factories.models import SymbolFactory

pytestmark = pytest.mark.django_db

QUERIES_MAX = 1
# A symbol that nobody has: the catalogue is read, a few times a second at most in a process
# (tests/api/test_new_symbols.py), whoever asks.
UNKNOWN_SYMBOL = "/api/v1/depth?symbol=X-Y"
CATALOGUE_QUERIES = 4
RENDERS_MAX = 2  # a page and what it extends
METHODS = ("get", "post", "options", "delete")
PLACES = {"symbol": "BTC-USDT"}


@pytest.fixture
def descriptions(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[int]:
    """A list that grows by one each time the API's description is made; nobody is held back."""
    settings.PUBLIC_WEIGHT_PER_SECOND = 0
    made: list[int] = []
    make = SchemaGenerator.get_schema

    def counted(*args: Any, **options: Any) -> Any:
        made.append(1)
        return make(*args, **options)

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    documents.schema_document.cache_clear()
    documents.reference_document.cache_clear()
    return made


def public_paths() -> list[str]:
    """Every address there is, with something in place of its parameters, and some that are not."""
    found: list[str] = []

    def walk(patterns: Any, prefix: str) -> None:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                found.append(path)
            else:
                walk(pattern.url_patterns, path)

    walk(get_resolver().url_patterns, "/")
    plain = [
        re.sub(r"<(?:\w+:)?(\w+)>", lambda name: PLACES.get(name[1], "1"), path)
        for path in found
        if "^" not in path and "(?P" not in path
    ]
    more = ["/nothing", "/api/v1/nothing", "/static/nothing", "/livez", UNKNOWN_SYMBOL,
            "/api/v1/trades?symbol=BTC-USDT&limit=500", "/login?next=/keys"]  # fmt: skip
    return sorted({*plain, *more})


def test_nothing_public_costs_more_than_a_query_and_a_page(descriptions: list[int]) -> None:
    SymbolFactory.create(code="BTC-USDT")
    rendered: list[str] = []

    def count(sender: Any, template: Any, **_: Any) -> None:
        rendered.append(str(template.name))

    paths = public_paths()
    assert len(paths) > 100
    template_rendered.connect(count)
    try:
        for path in paths:
            for method in METHODS:
                getattr(Client(), method)(path)  # what is kept for a while is kept now
                rendered.clear()
                with CaptureQueriesContext(connection) as queries:
                    answer = getattr(Client(), method)(path)
                seen = f"{method} {path}: {answer.status_code} {rendered}"
                assert answer.status_code < 500 or answer.status_code == 503, seen
                is_unknown = path == UNKNOWN_SYMBOL
                assert len(queries) <= (CATALOGUE_QUERIES if is_unknown else QUERIES_MAX), seen
                assert len(rendered) <= RENDERS_MAX, seen
    finally:
        template_rendered.disconnect(count)
    assert len(descriptions) == 1, "the description was made more than once"


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs"])
def test_documents_are_bytes_that_are_known_by_their_tag(
    path: str, descriptions: list[int]
) -> None:
    client = Client()
    first = client.get(path)
    assert first.status_code == 200
    assert "public" in first.headers["Cache-Control"]
    packed = client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == first.content
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"Accept": "application/xml"}).content == first.content
    assert len(descriptions) <= 1
