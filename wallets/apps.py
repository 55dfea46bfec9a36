from django.apps import AppConfig

from exchange.access.principals import accounts_found_in
from wallets.fragments import USER_ACCOUNTS


class WalletsConfig(AppConfig):
    name = "wallets"
    verbose_name = "Wallets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell where a user's account is found: who asks is read with it, in one statement."""
        accounts_found_in(USER_ACCOUNTS)
