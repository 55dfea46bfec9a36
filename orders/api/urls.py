"""The addresses of orders and markets; the event loop answers the resources itself."""

from typing import Final

from django.urls import path

from orders.api import cancel_after, commands, lists, market, prevented, views

# In the order in which an address is looked up, for signed requests on the event loop
# (exchange/web/on_loop.py) and for all others in Django.
RESOURCES: Final = (
    views.ORDERS,
    cancel_after.CANCEL_AFTER,
    views.ORDER,
    views.FILLS,
    commands.COMMAND,
    lists.LISTS,
    lists.LIST,
    market.DEPTH,
    market.TRADES,
)
urlpatterns = [
    *(resource.pattern() for resource in RESOURCES),
    path(
        "prevented-matches",
        prevented.PreventedMatchesView.as_view(),
        name="api-prevented-matches",
    ),
]
