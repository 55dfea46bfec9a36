from django.urls import path

from wallets.api import views

urlpatterns = [path("balances", views.BalancesView.as_view(), name="api-balances")]
