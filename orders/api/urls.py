from django.urls import path

from orders.api import market, views

urlpatterns = [
    path("orders", views.orders, name="api-orders"),
    path("orders/<str:order_id>", views.order, name="api-order"),
    path("depth", market.depth, name="api-depth"),
    path("trades", market.TradesView.as_view(), name="api-trades"),
]
