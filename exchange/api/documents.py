"""The API's description and its reference page: made once a process, served as bytes.

Making the description costs half a second of processor time, so strangers must not repeat it.
"""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import include, path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

from exchange.infra.http.security import API_PREFIX

AGE_S: Final = 300


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is the same for everybody, plain and gzipped."""

    content_type: str
    body: bytes
    packed: bytes
    etag: str


def _document(content_type: str, body: bytes) -> Document:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Document(content_type, body, gzip.compress(body, mtime=0), etag)


@cache
def schema_document() -> Document:
    """Return the OpenAPI description, as JSON. The process need not serve the API itself."""
    patterns = [path(API_PREFIX.removeprefix("/"), include("exchange.api.urls"))]
    generator = SchemaGenerator(patterns=patterns)  # type: ignore[no-untyped-call]
    described = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    body: bytes = OpenApiJsonRenderer().render(described, renderer_context={})
    return _document("application/vnd.oai.openapi+json; charset=utf-8", body)


@cache
def reference_document() -> Document:
    """Return the reference page, which shows the description."""
    return _document("text/html; charset=utf-8", render_to_string("api/docs.html").encode())


def documents_make() -> None:
    """Make both documents now, so that no request waits for them."""
    schema_document()
    reference_document()


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """Serve the OpenAPI description."""
    return _answer(request, schema_document)


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Serve the reference page."""
    return _answer(request, reference_document)


def _answer(request: HttpRequest, make: Callable[[], Document]) -> HttpResponse:
    document = make()
    if request.headers.get("If-None-Match") == document.etag:
        response = HttpResponse(status=304)
    elif "gzip" in request.headers.get("Accept-Encoding", ""):
        response = HttpResponse(document.packed, content_type=document.content_type)
        response["Content-Encoding"] = "gzip"
    else:
        response = HttpResponse(document.body, content_type=document.content_type)
    response["ETag"] = document.etag
    response["Cache-Control"] = f"public, max-age={AGE_S}"
    response["Vary"] = "Accept-Encoding"
    return response
