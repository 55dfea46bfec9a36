"""Django's createsuperuser, which opens a trading account as for every user."""

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from wallets.services import accounts_open_missing


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        accounts_open_missing()
