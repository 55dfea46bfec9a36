"""Shapes in the API's description that several routes share; nothing here serves a request."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from exchange.domain import grammar

DECIMAL: Final = "Decimal in plain notation, as a string."
ID: Final = "64-bit id, as a string."


def decimal(**options: Any) -> serializers.CharField:
    """Return the description of a decimal, which travels as a string."""
    pattern, longest = f"^(?:{grammar.DECIMAL})$", grammar.DECIMAL_LENGTH_MAX
    return serializers.RegexField(
        pattern, **{"help_text": DECIMAL, "max_length": longest, **options}
    )


class ProblemFieldSerializer(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """problem+json (RFC 9457); `code` is stable, `detail` is for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField(help_text="The request's id.")
    code = serializers.CharField()
    params = serializers.DictField()
    errors = ProblemFieldSerializer(many=True)  # type: ignore[assignment]  # a field's name here


PROBLEM: Final = OpenApiResponse(ProblemSerializer, description="Refused: see `code`.")


def responses(*, ok: int = 200, body: Any, refusals: tuple[int, ...] = ()) -> dict[Any, Any]:
    """Return the answers of one operation; every refusal is a problem."""
    answers: dict[Any, Any] = {ok: body}
    for status in refusals:
        answers[(status, "application/problem+json")] = PROBLEM
    return answers


def listed(name: str, item: serializers.Serializer[Any], *, paged: bool) -> Any:
    """Return the description of a list answer: `items`, and `next` where it is paged."""
    fields: dict[str, Any] = {"items": item}
    if paged:
        fields["next"] = serializers.CharField(
            allow_null=True, help_text="Cursor of the next page, null on the last."
        )
    return inline_serializer(name, fields=fields)


def query(name: str, text: str, **options: Any) -> OpenApiParameter:
    """Return the description of a query parameter that is a string."""
    return OpenApiParameter(name, OpenApiTypes.STR, description=text, **options)


CURSOR: Final = query("cursor", "`next` of the page before.")


def counted(name: str, maximum: int, text: str) -> OpenApiParameter:
    """Return the description of a query parameter from 1 to `maximum`."""
    return OpenApiParameter(
        name, {"type": "integer", "minimum": 1, "maximum": maximum}, description=text
    )


LIMIT: Final = counted("limit", 500, "1 to 500; default 50.")
