from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/schema", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path(
        "api/docs",
        # "Split": its script comes from a URL of its own, as the content security policy asks.
        SpectacularSwaggerSplitView.as_view(url_name="schema", permission_classes=[]),
        name="docs",
    ),
    path("api/v1/", include("exchange.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("exchange.web.urls")),
]

handler400 = "exchange.api.errors.bad_request"
handler403 = "exchange.api.errors.permission_denied"
handler404 = "exchange.api.errors.not_found"
handler500 = "exchange.api.errors.server_error"
