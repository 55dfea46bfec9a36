"""Django's changepassword, on record and with an end to the user's sessions."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword

from exchange.access.ends import password_changed
from exchange.models import User


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        told = super().handle(*args, **options)
        name = options["username"] or getpass.getuser()
        password_changed(User.objects.get(username=name))
        return told
