"""`manage.py bench`: measure this exchange on this machine, each section on a fresh stack."""

import os
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from tests.lab.bench.aged import aged
from tests.lab.bench.areas import AreasResult, areas
from tests.lab.bench.feed import feed
from tests.lab.bench.filling import Filling
from tests.lab.bench.intake import intake
from tests.lab.bench.recovery import loading
from tests.lab.bench.requests import MIXES
from tests.lab.bench.scenarios import scenarios
from tests.lab.bench.slow import SlowResult, slow
from tests.lab.bench.triggers import triggers
from tests.lab.bench.whole import WholeOptions, WholeResult, Write, whole
from tests.lab.gate.run import gate
from tests.lab.stack import StackFailed, own_stack

SECTIONS: Final = ("intake", "settlement", "loading", "whole", "feed", "triggers", "slow")
# Takes minutes whatever the length of a run, and is measured only by its name.
BY_NAME: Final = ("scenarios", "gate", "areas", "aged")
# Sections that measure one part run on PostgreSQL and Redis without the roles.
ROLES_OFF: Final = tuple(
    word for role in ("web", "ws", "matching", "worker", "beat") for word in ("--without", role)
)
STACK_WORDS: Final = {
    "intake": ROLES_OFF,
    "settlement": ROLES_OFF,
    "loading": ROLES_OFF,
    "whole": (),
    "feed": (),
    "triggers": (),
    "slow": (),
    "scenarios": (),
    "gate": ROLES_OFF,
    "areas": ("--without", "web"),
    "aged": (),
}
assert set(STACK_WORDS) == {*SECTIONS, *BY_NAME}
Result = WholeResult | SlowResult | AreasResult
LOADS: Final[Mapping[str, Callable[[WholeOptions, Write], Result]]] = {
    "whole": whole,
    "slow": slow,
    "areas": areas,
}


class Command(BaseCommand):
    help = (
        "Measure intake alone, settlement alone, a partition's return after a restart, the whole"
        " path under signed HTTP orders, the feed, stops, and what slow senders and heavy pages"
        " cost others. Every section starts a stack of its own in a temporary folder."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--section", action="append", choices=[*SECTIONS, *BY_NAME], help="default: most")
        add("--seconds", type=float, default=60, help="length of a run of the whole path")
        add("--rate", type=float, default=0, help="orders a second; 0: as many as it takes")
        add(
            "--connections",
            "--lanes",
            type=int,
            default=48,
            help="connections of the load generator",
        )
        add("--users", type=int, default=100, help="users that trade (an even number)")
        add("--symbols", type=int, default=1, help="symbols that they trade at once")
        add("--partitions", type=int, default=1, help="of the engine; the symbols take turns")
        add("--mix", choices=sorted(MIXES), default="places", help="bots: 60 %% cancels and amends")
        add("--batch", type=int, default=1, help="orders in a request, of the mix places")
        add("--share", type=float, default=0.3, help="share of the placed orders that trade")
        add("--seed", type=int, default=1)
        add("--samples", type=int, default=500, help="trades timed by the feed section")
        add("--crowd", type=int, default=10_000, help="stops that one trade triggers")
        add("--orders", type=int, default=10_000_000, help="aged: orders in the tables")
        add("--open", type=int, default=1_000_000, help="aged: open ones among them")
        add("--trades", type=int, default=3_000_000, help="aged: trades")
        add("--days", type=int, default=180, help="aged: days over which they are spread")
        add("--update", action="store_true", help="store the ratios of the gate")
        add("--on", default="", help="measure one section on the stack at this address, here")
        add("--on-ws", default="", help="its WebSocket address")

    def handle(self, **options: Any) -> None:
        sections = options["section"] or list(SECTIONS)
        if options["batch"] > 1 and options["mix"] != "places":
            raise CommandError("--batch goes with --mix places: batches place orders only")
        if options["on"]:
            if len(sections) != 1:
                raise CommandError("--on takes exactly one --section")
            if not self._measure(sections[0], options):
                raise SystemExit(1)
            return
        failed = [name for name in sections if not self._on_own_stack(name, options)]
        if failed:
            raise CommandError(f"not good: {', '.join(failed)}")

    def _on_own_stack(self, section: str, options: dict[str, Any]) -> bool:
        """Start a stack for one section, and measure in a process with that stack's settings."""
        self._write(f"\n{section}\n{'-' * len(section)}")
        words = ["bench", "--section", section]
        for name in (
            "seconds",
            "rate",
            "connections",
            "users",
            "symbols",
            "partitions",
            "mix",
            "batch",
            "share",
            "seed",
            "samples",
            "crowd",
            "orders",
            "open",
            "trades",
            "days",
        ):
            words += [f"--{name}", str(options[name])]
        words += ["--update"] * options["update"]
        try:
            engines = ("--partitions", str(options["partitions"]))
            with own_stack("--no-demo", *engines, *STACK_WORDS[section]) as stack:
                return stack.manage(*words, "--on", stack.url, "--on-ws", stack.ws_url) == 0
        except StackFailed as error:
            self._write(str(error))
            return False

    def _measure(self, section: str, options: dict[str, Any]) -> bool:
        is_good = True
        if section == "intake":
            lines = [rate.line() for rate in intake()]
        elif section == "settlement":
            call_command("bench_settlement")
            lines = []
        elif section == "loading":
            times = loading()
            lines, is_good = times.lines(), times.is_good
        elif section == "feed":
            lines = feed(options["on"], options["on_ws"], options["samples"]).lines()
        elif section == "gate":
            verdict = gate(update=options["update"], write=self._write)
            lines, is_good = verdict.lines(), verdict.is_good
        elif section == "scenarios":
            table = scenarios(
                options["on"],
                seconds=options["seconds"],
                seed=options["seed"],
                write=self._write,
            )
            lines, is_good = table.lines(), table.is_good
        elif section == "triggers":
            lines = triggers(
                options["on"],
                options["on_ws"],
                samples=options["samples"],
                crowd=options["crowd"],
                write=self._write,
            ).lines()
        elif section == "aged":
            filling = Filling(*(options[name] for name in ("orders", "open", "trades", "days")))
            years = aged(self._whole_options(options), filling, self._write)
            lines, is_good = years.lines(), years.is_good
        else:
            result = LOADS[section](self._whole_options(options), self._write)
            lines, is_good = result.lines(), result.is_good
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        self._write("\n".join([*lines, f"(load average of the machine: {load})"]))
        return is_good

    def _whole_options(self, options: dict[str, Any]) -> WholeOptions:
        return WholeOptions(
            options["on"],
            options["seconds"],
            options["rate"],
            options["connections"],
            options["users"],
            options["share"],
            options["seed"],
            max(options["symbols"], options["partitions"]),
            MIXES[options["mix"]],
            options["batch"],
            options["partitions"],
        )

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
