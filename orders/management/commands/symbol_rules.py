"""`manage.py symbol_rules`: send the engine those rules of symbols that it was not sent yet."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.domain.errors import DomainError
from exchange.models import Symbol
from orders.intake.process import intake_stop
from orders.markets.rules import symbol_rules_send


class Command(BaseCommand):
    help = "Send price bands, limits and switches that differ from what was sent last."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--symbol", help="one symbol, such as BTC-USDT")
        which.add_argument("--all", action="store_true", help="every symbol")
        parser.add_argument(
            "--again", action="store_true", help="send also what was sent before, unchanged"
        )

    def handle(self, **options: Any) -> None:
        symbols = Symbol.objects.order_by("position", "code")
        if options["symbol"]:
            symbols = symbols.filter(code=options["symbol"])
            if not symbols:
                raise CommandError(f"there is no symbol {options['symbol']}")
        try:
            failed = [one.code for one in symbols if not self._sent(one, options["again"])]
        finally:
            intake_stop()
        if failed:
            raise CommandError(f"not told: {', '.join(failed)}")

    def _sent(self, symbol: Symbol, again: bool) -> bool:
        try:
            sent = symbol_rules_send(symbol.pk, note="manage.py symbol_rules", again=again)
        except DomainError as error:
            self.stderr.write(f"{symbol.code}: {error.detail}")
            return False
        self.stdout.write(f"{symbol.code}: {'; '.join(sent) or 'the engine knows'}")
        return True
