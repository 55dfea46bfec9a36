from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from exchange.api import documents

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/schema", documents.schema, name="schema"),
    path("api/docs", documents.reference, name="docs"),
    path("api/v1/", include("exchange.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("exchange.web.urls")),
]

handler400 = "exchange.api.errors.bad_request"
handler403 = "exchange.api.errors.permission_denied"
handler404 = "exchange.api.errors.not_found"
handler500 = "exchange.api.errors.server_error"
