from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AdminpanelConfig(AppConfig):
    name = "adminpanel"
    verbose_name = "Back office"
    default_auto_field = "django.db.models.BigAutoField"


class BackOfficeConfig(AdminConfig):
    """Django's admin, with our site as its default one."""

    default_site = "adminpanel.site.BackOffice"
