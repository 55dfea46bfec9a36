"""The OpenAPI schema: it validates without a warning and describes what is there."""

import json
from typing import Any

import pytest
from django.test import override_settings
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from exchange.api import documents


@pytest.fixture
def schema() -> dict[str, Any]:
    generated: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return generated


def test_schema_is_valid_and_made_without_warnings(schema: dict[str, Any]) -> None:
    validate_schema(schema)
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        SchemaGenerator().get_schema(request=None, public=True)
        assert not GENERATOR_STATS


def test_the_document_is_made_without_the_routes_of_the_process(schema: dict[str, Any]) -> None:
    """A process for the pages serves it, though it does not serve the API (docs/adr/0035)."""
    with override_settings(ROOT_URLCONF="exchange.web.urls"):
        documents.schema_document.cache_clear()
        described = json.loads(documents.schema_document().body)
    assert described["paths"].keys() == schema["paths"].keys()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/orders", {"get", "post", "delete"}),
        ("/api/v1/orders/{order_id}", {"get", "delete", "patch"}),
        ("/api/v1/orders/cancel-after", {"post"}),
        ("/api/v1/orders/batch", {"post"}),
        ("/api/v1/orders/batch-cancel", {"post"}),
        ("/api/v1/orders/test", {"post"}),
        ("/api/v1/orders/by-client-id/{client_order_id}", {"get", "delete"}),
        ("/api/v1/orders/{order_id}/fills", {"get"}),
        ("/api/v1/commands/{command_id}", {"get"}),
        ("/api/v1/order-lists", {"get", "post"}),
        ("/api/v1/order-lists/{list_id}", {"get", "delete"}),
        ("/api/v1/prevented-matches", {"get"}),
        ("/api/v1/symbols", {"get"}),
        ("/api/v1/depth", {"get"}),
        ("/api/v1/trades", {"get"}),
        ("/api/v1/balances", {"get"}),
        ("/api/v1/time", {"get"}),
        ("/api/v1/keys", {"get", "post"}),
        ("/api/v1/keys/{key}", {"delete"}),
    ],
)
def test_every_address_is_documented(schema: dict[str, Any], path: str, methods: set[str]) -> None:
    assert methods == set(schema["paths"][path])
