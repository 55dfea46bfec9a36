"""Answers of the hot views: whole, and the same in a thread and on the event loop."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from django.http import HttpResponse

JSON: Final = "application/json"
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_encode: Final = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """A whole answer, without the headers that every answer carries."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = NO_HEADERS


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
    """Return `body` as a JSON answer."""
    return Answer(status, _encode(body), JSON, headers)


def response_of(answer: Answer) -> HttpResponse:
    """Return the answer as Django's response."""
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type=answer.content_type,
        headers=dict(answer.headers),
    )
