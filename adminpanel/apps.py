"""Django apps of the back office: its own, and Django's admin with our site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AdminpanelConfig(AppConfig):
    """The back office's own app."""

    name = "adminpanel"
    verbose_name = "Back office"
    default_auto_field = "django.db.models.BigAutoField"


class BackOfficeConfig(AdminConfig):
    """Django's admin, with `BackOffice` as its default site."""

    default_site = "adminpanel.site.BackOffice"
