"""`manage.py seed_demo`: reference data, demonstration users with funds, makers' keys."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.demo.reference import MAKERS, PASSWORD, STAFF, TRADERS
from config.demo.seed import makers_seed, people_seed, reference_seed, rules_seed
from config.env import BASE_DIR, ENV
from orders.intake.process import intake_stop


class Command(BaseCommand):
    help = "Make the demonstration's assets, symbols, fees, users and funds. May be repeated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, help="folder for the makers' keys (DATA_DIR)")
        parser.add_argument(
            "--reference-only", action="store_true", help="no users: assets, symbols, fees, brand"
        )

    def handle(self, **options: Any) -> None:
        reference_seed()
        try:
            rules_seed()
        finally:
            intake_stop()
        if options["reference_only"]:
            self.stdout.write("reference data is there")
            return
        if not settings.DEMO:
            # The logins are public: they must never appear on an exchange with real money.
            raise CommandError("demonstration users need DEMO=on (and never in production)")
        people_seed()
        makers_seed(options["data"] or BASE_DIR / ENV.data_dir)
        self.stdout.write(
            f"demonstration seeded: {', '.join(TRADERS)}, {STAFF} (password {PASSWORD}),"
            f" {len(MAKERS)} makers"
        )
