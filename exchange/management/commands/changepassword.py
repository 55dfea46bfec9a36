"""`manage.py changepassword`: Django's, with a security event and an end of the user's sessions."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword

from exchange.access.ends import password_changed
from exchange.models import User


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        output = super().handle(*args, **options)
        name = options["username"] or getpass.getuser()
        password_changed(User.objects.get(username=name))
        return output
