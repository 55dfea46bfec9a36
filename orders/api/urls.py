"""The addresses of orders and markets: Django's, and those that the event loop answers itself."""

from typing import Final

from django.urls import path

from exchange.web.on_loop import Route
from orders.api import cancel_after, commands, lists, market, prevented, views

urlpatterns = [
    path("orders", views.orders, name="api-orders"),
    path("orders/cancel-after", cancel_after.cancel_after, name="api-cancel-after"),
    path("orders/<str:order_id>", views.order, name="api-order"),
    path("orders/<str:order_id>/fills", views.order_fills, name="api-order-fills"),
    path("commands/<str:command_id>", commands.command, name="api-command"),
    path("order-lists", lists.order_lists, name="api-order-lists"),
    path("order-lists/<str:list_id>", lists.order_list, name="api-order-list"),
    path("depth", market.depth, name="api-depth"),
    path("trades", market.TradesView.as_view(), name="api-trades"),
    path(
        "prevented-matches",
        prevented.PreventedMatchesView.as_view(),
        name="api-prevented-matches",
    ),
]

# The requests that programs send most (exchange/web/on_loop.py).
ON_LOOP: Final = (
    Route("POST", "/api/v1/orders", "api-orders", views.place_on_loop),
    Route("DELETE", "/api/v1/orders/(?P<order_id>[0-9]{1,19})", "api-order", views.cancel_on_loop),
)
