"""All addresses of the API that the event loop answers, from every app."""

from typing import Final

from exchange.api.urls import RESOURCES as EXCHANGE
from orders.api.urls import RESOURCES as ORDERS
from wallets.api.urls import RESOURCES as WALLETS

RESOURCES: Final = (*ORDERS, *WALLETS, *EXCHANGE)
