"""`manage.py demo_market`: makers that keep the demonstration's symbols alive, through the API."""

import signal
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.demo.bots import KEYS_NAME, keys_read
from config.demo.market import DemoMarket
from config.env import BASE_DIR, ENV
from config.stack.state import state_of_ready

RATE_PER_SECOND: Final = 20.0
SEED: Final = 2024


class Command(BaseCommand):
    help = "Trade on the demonstration's symbols until stopped, or play a recording (--flow)."
    requires_system_checks: list[str] = []  # HTTP only: it needs no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--url", default="", help="address of the API; default: that of the running stack")
        add("--data", type=Path, help="folder with the makers' keys (DATA_DIR)")
        add("--rate", type=float, default=RATE_PER_SECOND, help="commands a second, in all")
        add("--seed", type=int, default=SEED)
        add("--for", dest="seconds", type=float, default=0, help="stop after so long")
        add("--flow", type=Path, help="play this recording instead of the generated market")
        add("--speed", default="1", help="of --flow: 1, 10 or max")

    def handle(self, **options: Any) -> None:
        data = options["data"] or BASE_DIR / ENV.data_dir
        if options["flow"]:
            words = ["--url", options["url"]] if options["url"] else []
            call_command("replay", str(options["flow"]), "--speed", options["speed"], *words)
            return
        url = options["url"] or str(state_of_ready(data).get("url", ""))
        if not url:
            raise CommandError("no stack runs in DATA_DIR: start one, or give --url")
        if options["rate"] <= 0:
            raise CommandError("--rate: more than 0")
        try:
            keys = keys_read(data / KEYS_NAME)
        except (OSError, ValueError) as error:
            raise CommandError(f"no makers' keys ({error}): `manage.py seed_demo`") from error
        market = DemoMarket(
            url, list(keys.values()), seed=options["seed"], rate_per_second=options["rate"]
        )

        def stop(_number: int, _frame: FrameType | None) -> None:
            market.is_stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            market.run(options["seconds"])
        finally:
            market.close()
        self.stdout.write(f"demo market: {market.sent:,} requests")
