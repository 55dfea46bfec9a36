"""The parts of the API's description that all operations share: credentials and forms of texts.

A name has one meaning everywhere, so the form of a text follows from the name of its field.
"""

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from drf_spectacular.openapi import AutoSchema

from exchange.domain import grammar

Schema = dict[str, Any]

SIGNED: Final[dict[str, list[str]]] = {"key": [], "timestamp": [], "signature": []}
SESSION: Final[dict[str, list[str]]] = {"session": []}
_BY_HAND: Final = "docs/authentication.md has the text that is signed, and vectors."


def _text(form: str, length_max: int) -> Schema:
    return {"pattern": f"^(?:{form})$", "maxLength": length_max}


_ID: Final = _text(grammar.ID, 19)
_TIME: Final = _text(f"{grammar.UNIX_MS}|{grammar.RFC_3339}", grammar.TIME_LENGTH_MAX)
_CLIENT_ORDER_ID: Final = _text(grammar.CLIENT_ORDER_ID, 64)
# The form of a text by the name of its field or parameter.
TEXTS: Final[dict[str, Schema]] = {
    "symbol": _text(grammar.SYMBOL, grammar.SYMBOL_LENGTH_MAX),
    "client_order_id": _CLIENT_ORDER_ID,
    "client_order_ids": _CLIENT_ORDER_ID,
    "expires_at": _TIME,
    "from": {"maxLength": grammar.TIME_LENGTH_MAX},
    "to": {"maxLength": grammar.TIME_LENGTH_MAX},
    "id": _ID,
    "order_id": _ID,
    "order_ids": _ID,
    "list_id": _ID,
    "command_id": _ID,
    "trade_id": _ID,
    "cursor": _text("[A-Za-z0-9_-]{1,64}", 64),
    "key": _text(grammar.KEY, 40),
    "status": {"maxLength": 16},
}


class Operation(AutoSchema):
    """An operation in the description, with the credentials that it accepts."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        if getattr(self.view, "session_only", False):
            return [SESSION]
        return [SIGNED, SESSION]


def contract_complete(result: Schema, **_: Any) -> Schema:
    """Complete the description: no unknown fields in bodies, bounded texts, security schemes.

    drf-spectacular calls this with its finished `result`.
    """
    result["components"]["securitySchemes"] = _schemes()
    schemas: dict[str, Schema] = result["components"]["schemas"]
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            _bound(name, field)
    for operation in _operations(result):
        for parameter in operation.get("parameters", []):
            _bound(parameter["name"], parameter["schema"])
    for name in requested(result):
        schemas[name]["additionalProperties"] = False
    return result


def requested(result: Schema) -> set[str]:
    """Return the names of the schemas that request bodies are, or contain."""
    found: set[str] = set()
    waiting = [name for operation in _operations(result) for name in _references(
        operation.get("requestBody", {}))]  # fmt: skip
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(result["components"]["schemas"][name])
    return {name for name in found if "properties" in result["components"]["schemas"][name]}


def _bound(name: str, field: Schema) -> None:
    place = field["items"] if field.get("type") == "array" else field
    if place.get("type") == "string" and not {"enum", "format", "pattern"} & place.keys():
        for key, value in TEXTS.get(name, {}).items():
            place.setdefault(key, value)


def _operations(result: Schema) -> Iterator[Schema]:
    for path in result["paths"].values():
        yield from path.values()


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node["$ref"]).rpartition("/")[2]] if "$ref" in node else []
    return own + [name for value in node.values() for name in _references(value)]


def _schemes() -> Schema:
    def header(name: str, text: str) -> Schema:
        return {"type": "apiKey", "in": "header", "name": name, "description": text}

    return {
        "key": header("X-Takas-Key", "An API key. With timestamp and signature, always."),
        "timestamp": header("X-Takas-Timestamp", "Milliseconds since 1970, UTC."),
        "signature": header("X-Takas-Signature", f"Hexadecimal HMAC-SHA256; {_BY_HAND}"),
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "Of a signed-in page; what changes something needs X-CSRFToken too.",
        },
    }
