"""Routes of the pages."""

from django.urls import path

from exchange.web import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login", views.sign_in, name="login"),
    path("logout", views.leave, name="logout"),
    path("trade/<str:symbol>", views.trade, name="trade"),
    path("keys", views.api_keys, name="keys"),
    path("brand.css", views.brand_css, name="brand-css"),
    path("brand/logo.svg", views.brand_logo, name="brand-logo"),
]
