"""The addresses of orders and markets; the event loop answers the resources itself."""

from typing import Final

from django.urls import path

from orders.api import (
    batches,
    by_client_id,
    cancel_after,
    commands,
    dry_run,
    lists,
    market,
    prevented,
    views,
)

# In the order in which an address is looked up, for signed requests on the event loop
# (exchange/web/on_loop.py) and for all others in Django.
RESOURCES: Final = (
    views.ORDERS,
    batches.BATCH,
    batches.BATCH_CANCEL,
    dry_run.TEST,
    cancel_after.CANCEL_AFTER,
    views.ORDER,
    by_client_id.BY_CLIENT_ID,
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
