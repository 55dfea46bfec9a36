"""Bodies of requests in the API's description, out of the structs that decode them.

msgspec writes JSON Schema of 2020, the description is OpenAPI 3.0: what is null by default may be
left out, and that is all that is said of it.
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

    `parts` are structs that are decoded later, one for each item of a field: by the field, the name
    that the struct is published under, and the struct. drf-spectacular sets `partial` for PATCH.
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
        for of_field, (name, struct) in self.target.parts.items():
            part = ResolvedComponent(  # type: ignore[no-untyped-call]
                name, ResolvedComponent.SCHEMA, schema=struct_schema(struct), object=name
            )
            auto_schema.registry.register_on_missing(part)
            schema["properties"][of_field]["items"] = {"$ref": _REF.format(name=name)}
        return schema


def struct_schema(struct: type[Struct]) -> Schema:
    """The struct as an OpenAPI 3.0 schema."""
    _, schemas = msgspec.json.schema_components([struct], ref_template=_REF)
    made = schemas[struct.__name__]
    properties = {
        name: _field_schema(_words_inlined(one, schemas))
        for name, one in made["properties"].items()
    }
    closed = {"additionalProperties": False} if made.get("additionalProperties") is False else {}
    required = {"required": sorted(made["required"])} if made["required"] else {}
    text = cleandoc(made["description"])
    described = {"type": "object", "description": text, "properties": properties}
    return described | required | closed


def _words_inlined(of_field: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """The field with its enum of words in place; drf-spectacular names the enums itself."""
    named = of_field.get("items", {}).get("$ref", "").rpartition("/")[2]
    if "enum" not in schemas.get(named, {}):
        return of_field
    return {**of_field, "items": {"type": "string", "enum": schemas[named]["enum"]}}


def _field_schema(of_field: Schema) -> Schema:
    """One field; a choice between one type and null becomes that type."""
    choices = [one for one in of_field.get("anyOf", []) if one != {"type": "null"}]
    if not choices:
        return of_field
    (only,) = choices
    outer = {name: value for name, value in of_field.items() if name not in ("anyOf", "default")}
    texts = [one["description"] for one in (outer, only) if "description" in one]
    merged: Schema = only | outer | ({"description": " ".join(texts)} if texts else {})
    return merged
