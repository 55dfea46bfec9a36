"""Request bodies in the API's description, derived from the structs that decode them.

msgspec writes JSON Schema 2020-12, but the description is OpenAPI 3.0. So a field that is null by
default is described as optional, without the null.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any, Final

import msgspec
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from msgspec import Struct

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"


@dataclass(eq=False, slots=True)
class Body:
    """The body of a request: its published name, and the struct that decodes it.

    `parts` maps a list field to the published name and the struct of its items, which are decoded
    later, one by one. drf-spectacular sets `partial` for PATCH.
    """

    name: str
    struct: type[Struct]
    parts: Mapping[str, tuple[str, type[Struct]]] = field(default_factory=dict)
    partial: bool = False


class BodyExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Teaches drf-spectacular to describe a Body."""

    target_class = Body

    def get_name(self, auto_schema: AutoSchema, direction: str) -> str:
        return str(self.target.name)

    def get_identity(self, auto_schema: AutoSchema, direction: str) -> str:
        return str(self.target.name)

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> Schema:
        schema = struct_schema(self.target.struct)
        for list_field, (name, struct) in self.target.parts.items():
            part = ResolvedComponent(  # type: ignore[no-untyped-call]
                name, ResolvedComponent.SCHEMA, schema=struct_schema(struct), object=name
            )
            auto_schema.registry.register_on_missing(part)
            schema["properties"][list_field]["items"] = {"$ref": _REF.format(name=name)}
        return schema


def struct_schema(struct: type[Struct]) -> Schema:
    """Return the struct as an OpenAPI 3.0 schema."""
    _, schemas = msgspec.json.schema_components([struct], ref_template=_REF)
    made = schemas[struct.__name__]
    properties = {
        name: _field_schema(_enum_inlined(field_schema, schemas))
        for name, field_schema in made["properties"].items()
    }
    closed = {"additionalProperties": False} if made.get("additionalProperties") is False else {}
    required = {"required": sorted(made["required"])} if made["required"] else {}
    text = cleandoc(made["description"])
    described = {"type": "object", "description": text, "properties": properties}
    return described | required | closed


def _enum_inlined(field_schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """Return a list field with its items' enum inlined: drf-spectacular names the enums itself."""
    named = field_schema.get("items", {}).get("$ref", "").rpartition("/")[2]
    if "enum" not in schemas.get(named, {}):
        return field_schema
    return {**field_schema, "items": {"type": "string", "enum": schemas[named]["enum"]}}


def _field_schema(written: Schema) -> Schema:
    """Return a field as OpenAPI 3.0: a choice between one type and null becomes that type."""
    choices = [choice for choice in written.get("anyOf", []) if choice != {"type": "null"}]
    if not choices:
        return written
    (only,) = choices
    outer = {name: value for name, value in written.items() if name not in ("anyOf", "default")}
    texts = [part["description"] for part in (outer, only) if "description" in part]
    merged: Schema = only | outer | ({"description": " ".join(texts)} if texts else {})
    return merged
