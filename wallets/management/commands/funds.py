"""`manage.py funds credit|debit USER ASSET AMOUNT --reason TEXT`: move a user's funds by hand."""

import getpass
import re
import secrets
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from exchange.domain.errors import DomainError
from exchange.domain.units import plain
from exchange.models import User
from wallets.funding import funds_move

_NUMBER: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII).fullmatch
SIGNS: Final = {"credit": 1, "debit": -1}


class Command(BaseCommand):
    help = "Credit or debit a user against the house's funding account, with a reason on record."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("direction", choices=SIGNS)
        parser.add_argument("user", help="the user's name")
        parser.add_argument("asset", help="the asset's code, such as USDT")
        parser.add_argument("amount", help="a decimal above 0, such as 12.5")
        parser.add_argument("--reason", required=True, help="why; kept for ever")
        parser.add_argument(
            "--key", help="makes it happen once, however often it is run with the same key"
        )

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"there is no user {options['user']!r}")
        key = options["key"] or f"command-{secrets.token_hex(8)}"
        reason = f"{options['reason']} (by {getpass.getuser()} at the command line)"
        try:
            moved = funds_move(
                user_id=user.pk,
                asset=options["asset"],
                amount=_amount(options["amount"]) * SIGNS[options["direction"]],
                reason=reason,
                key=key,
                actor_id=None,
            )
        except DomainError as error:
            raise CommandError(f"{error.code.value}: {error.detail}") from error
        done = "done" if moved.is_new else "was done before"
        self.stdout.write(f"{done}: {plain(moved.available)} {options['asset']} available")
        self.stdout.write(f"key {key}")


def _amount(text: str) -> Decimal:
    if not _NUMBER(text):
        raise CommandError(f"the amount {text!r} is no decimal number such as 12.5")
    return Decimal(text)
