"""Routes under /api/v1/. Those of orders and wallets are included by name: layers above this one
are not imported.
"""

from typing import Final

from django.urls import include, path, re_path

from exchange.api import views
from exchange.api.routes import weights_check

# What the event loop answers as well (exchange/web/on_loop.py).
RESOURCES: Final = (views.TIME,)
urlpatterns = [
    path("", include("orders.api.urls")),
    path("", include("wallets.api.urls")),
    path("symbols", views.SymbolsView.as_view(), name="api-symbols"),
    *(resource.pattern() for resource in RESOURCES),
    path("keys", views.KeysView.as_view(), name="api-keys"),
    path("keys/<str:key>", views.KeyView.as_view(), name="api-key"),
    re_path(r"^.*$", views.unknown_address),
]
weights_check(urlpatterns)  # a route without a weight is not served
