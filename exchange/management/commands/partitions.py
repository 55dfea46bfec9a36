"""`manage.py partitions`: make, check and detach the partitions of the big tables."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchange.infra import partition_ranges, partitions
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect


class Command(BaseCommand):
    help = "Make partitions ahead of time (--ensure), check them (--check), detach old ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--ensure", action="store_true", help="make what is missing")
        parser.add_argument("--check", action="store_true", help="exit 1 when too few lie ahead")
        parser.add_argument(
            "--retain", action="store_true", help="detach what is past its retention"
        )
        parser.add_argument(
            "--keep-days",
            action="append",
            default=[],
            metavar="TABLE=DAYS",
            help="retention of a table, instead of the setting PARTITION_KEEP_DAYS",
        )
        parser.add_argument(
            "--drop", action="store_true", help="with --retain: also drop (never ledger entries)"
        )

    def handle(self, **options: Any) -> None:
        if not (options["ensure"] or options["check"] or options["retain"]):
            raise CommandError("say what to do: --ensure, --check or --retain")
        now = datetime.now(UTC)
        with connect("partitions", index_plans=False) as connection:
            if options["ensure"] or options["retain"]:
                with periodic_lock(connection, PeriodicTask.PARTITIONS) as held:
                    if not held:
                        raise CommandError("another process is at work on the partitions")
                    connection.execute("SET ROLE NONE")  # tables are changed by their owner
                    self._change(connection, now, options)
            if options["check"]:
                self._check(connection, now)

    def _change(self, connection: Any, now: datetime, options: dict[str, Any]) -> None:
        if options["ensure"]:
            made = partitions.ensure(connection, now)
            self.stdout.write(f"{len(made)} partitions made")
        if options["retain"]:
            keep_days = _keep_days(options["keep_days"])
            detached = partitions.retain(connection, now, keep_days=keep_days, drop=options["drop"])
            self.stdout.write(f"{len(detached)} partitions detached {' '.join(detached)}".strip())

    def _check(self, connection: Any, now: datetime) -> None:
        coverages = partitions.check(connection, now)
        for coverage in coverages:
            mark = "ALARM" if coverage.alarms else "ok"
            self.stdout.write(f"{coverage.table:<16} {coverage.ahead:>3} ahead  {mark}")
        if any(coverage.alarms for coverage in coverages):
            raise CommandError("too few partitions ahead: run with --ensure")


def _keep_days(arguments: list[str]) -> dict[str, int]:
    keep_days: dict[str, int] = dict(getattr(settings, "PARTITION_KEEP_DAYS", {}))
    known = {partitioned.table for partitioned in partition_ranges.TABLES}
    for argument in arguments:
        table, _, days = argument.partition("=")
        if table not in known or not days.isdigit() or int(days) == 0:
            raise CommandError(f"--keep-days {argument}: want one of {sorted(known)}=DAYS")
        keep_days[table] = int(days)
    return keep_days
