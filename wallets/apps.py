from django.apps import AppConfig

from exchange.access.principal_rows import accounts_found_in
from wallets.fragments import USER_ACCOUNTS


class WalletsConfig(AppConfig):
    name = "wallets"
    verbose_name = "Wallets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the SELECT of users' accounts: one statement reads a user and its account."""
        accounts_found_in(USER_ACCOUNTS)
