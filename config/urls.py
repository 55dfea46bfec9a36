from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from exchange.api import documents
from exchange.web.areas import Area, area_served

Patterns = list[URLPattern | URLResolver]


def patterns_of(area: Area) -> Patterns:
    """Return the addresses of an area. Django finds nothing at those of another area."""
    patterns: Patterns = []
    if area.has_api:
        patterns.append(path("api/v1/", include("exchange.api.urls")))
    if area.has_pages:
        patterns += [
            path("api/schema", documents.schema, name="schema"),
            path("api/docs", documents.reference, name="docs"),
            path("admin/", admin.site.urls),
            path("", include("exchange.web.urls")),
        ]
    return patterns


urlpatterns = patterns_of(area_served())

handler400 = "exchange.api.errors.bad_request"
handler403 = "exchange.api.errors.permission_denied"
handler404 = "exchange.api.errors.not_found"
handler500 = "exchange.api.errors.server_error"
