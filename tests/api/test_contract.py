"""The OpenAPI description: every route asks for, takes and answers what it describes."""

import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from exchange.api.contract import SESSION, SIGNED, requested
from exchange.domain.errors import DomainError
from orders.validation.orders import is_client_order_id
from orders.validation.values import decimal_parse, time_ms_parse
from tests.factories.trading import Trader, decoded, order_body

METHODS = ("get", "post", "patch", "delete")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def unbounded(node: dict[str, Any], where: str) -> list[str]:
    """Where a value of a request has no end."""
    if "$ref" in node or "allOf" in node or "enum" in node:
        return []
    match node.get("type"):
        case "string":
            return [] if "maxLength" in node else [where]
        case "integer":
            return [] if {"minimum", "maximum"} <= node.keys() else [where]
        case "array":
            inside = unbounded(node["items"], f"{where}[]")
            return inside if "maxItems" in node else [where, *inside]
        case "boolean":
            return []
    return [where]


def test_every_body_is_closed_and_every_value_in_it_bounded(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    bodies = requested(described)
    assert bodies >= {"OrderPlace", "PatchedOrderAmend", "OrderListPlace", "ListedOrder",
                      "CancelAfter", "KeyCreate"}  # fmt: skip
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False, name
        for field, node in schemas[name]["properties"].items():
            assert unbounded(node, f"{name}.{field}") == []


def test_every_parameter_is_bounded(described: dict[str, Any]) -> None:
    for method, path, operation in operations(described):
        for parameter in operation.get("parameters", []):
            node = parameter["schema"]
            node = node["items"] if node.get("type") == "array" else node
            assert unbounded(node, f"{method} {path} {parameter['name']}") == []


def works(answer: Any) -> bool:
    """Whether the caller was known and let in: any other refusal comes after that."""
    code = decoded(answer).get("code", "") if answer.content else ""
    return answer.status_code != 401 and code not in ("auth.scope_missing", "auth.csrf_failed")


def test_each_operation_takes_the_proofs_that_it_names(
    ada: Trader, described: dict[str, Any]
) -> None:
    signed_in = Client()
    signed_in.force_login(ada.user)
    for method, path, operation in operations(described):
        full = re.sub(r"\{\w+\}", "12345678", path)
        with_key = ada.send(method.upper(), full.removeprefix("/api/v1"))
        with_session = getattr(signed_in, method)(full, content_type="application/json")
        with_nothing = getattr(Client(), method)(full, content_type="application/json")
        named = operation.get("security", [])
        seen = f"{method} {path}"
        assert works(with_nothing) is (named == []), seen
        assert works(with_key) is (SIGNED in named or named == []), seen
        assert works(with_session) is (SESSION in named or named == []), seen
    schemes = described["components"]["securitySchemes"]
    assert {*SIGNED, *SESSION} == set(schemes)


TEXTS = (
    "", "0", "1", "01", "1.5", "1.", ".5", "+1", "-1", "1e3", "1,5", " 1", "1\n", "\u0661", "NaN",
    "9" * 20, "9" * 21, "0." + "1" * 18, "0." + "1" * 19, "a", "a.b_c:d-e", "a b", "a" * 64,
    "a" * 65, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.123456789+01:00",
    "99999999999999", "100000000000000", "2026-01-01 00:00:00Z",
)  # fmt: skip


def fits(schema: dict[str, Any], text: str) -> bool:
    # JSON Schema searches and its $ is the very end: Python's would let a line feed follow.
    return re.search(schema["pattern"].replace("$", r"\Z"), text) is not None and len(text) <= int(
        schema["maxLength"]
    )


@pytest.mark.parametrize("text", TEXTS)
def test_forms_are_those_that_the_code_reads(described: dict[str, Any], text: str) -> None:
    fields = described["components"]["schemas"]["OrderPlace"]["properties"]
    assert fits(fields["client_order_id"], text) is is_client_order_id(text)
    assert fits(fields["expires_at"], text) is (time_ms_parse(text) is not None)
    try:
        decimal_parse(text, field="price")
        is_decimal = True
    except DomainError:
        is_decimal = False
    assert fits(fields["price"], text) is is_decimal


def test_what_is_accepted_and_answered_is_as_described(
    ada: Trader, described: dict[str, Any]
) -> None:
    body = order_body(price="100.5", quantity="0.25")
    answer = decoded(ada.send("POST", "/orders", body))
    for name, value in (("OrderPlace", body), ("Order", answer)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        jsonschema.validate(value, schema, cls=OpenApiValidator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {**body, "colour": "red"},
            {"$ref": "#/components/schemas/OrderPlace", "components": described["components"]},
        )


def _nullable(validator: Any, types: Any, value: Any, schema: dict[str, Any]) -> Any:
    if value is None and schema.get("nullable"):
        return
    yield from jsonschema.Draft4Validator.VALIDATORS["type"](validator, types, value, schema)


OpenApiValidator = jsonschema.validators.extend(jsonschema.Draft4Validator, {"type": _nullable})
