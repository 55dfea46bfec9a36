from django.apps import AppConfig


class AdminpanelConfig(AppConfig):
    name = "adminpanel"
    verbose_name = "Back office"
    default_auto_field = "django.db.models.BigAutoField"
