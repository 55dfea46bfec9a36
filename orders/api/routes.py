"""The addresses that are answered on an event loop (exchange/web/on_loop.py)."""

from typing import Final

from exchange.web.on_loop import Route
from orders.api import views

ON_LOOP: Final = (
    Route("POST", "/api/v1/orders", "api-orders", views.place_on_loop),
    Route("DELETE", "/api/v1/orders/(?P<order_id>[0-9]{1,19})", "api-order", views.cancel_on_loop),
)
