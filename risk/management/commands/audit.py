"""`manage.py audit`: check the invariants of a live database; exit code 1 when one is broken."""

import json
import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand

from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect
from risk.audit.run import INVARIANTS, Report, audit_run

DETAILS_MAX: Final = 10  # breaches spelled out per invariant in the table


class Command(BaseCommand):
    help = "Check the invariants of ledger, orders, book and settlement. Exit 1 on a breach."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--full", action="store_true", help="everything, not only what is new since last time"
        )
        parser.add_argument(
            "--json", action="store_true", help="one JSON object instead of a table"
        )

    def handle(self, **options: Any) -> None:
        with (
            connect("audit", index_plans=False) as connection,
            periodic_lock(connection, PeriodicTask.AUDIT, wait=True),
        ):
            connection.execute("SET ROLE NONE")
            report = audit_run(connection, full=options["full"])
        if options["json"]:
            self.stdout.write(json.dumps(as_json(report)))
        else:
            self._table(report)
        if not report.is_green:
            sys.exit(1)

    def _table(self, report: Report) -> None:
        self.stdout.write(f"audit ({'full' if report.full else 'since the last mark'})")
        for invariant, meaning in INVARIANTS.items():
            breaches = report.of(invariant)
            state = "in part" if invariant in report.skipped else "ok"
            if breaches:
                state = f"{len(breaches)} BROKEN"
            took_ms = report.seconds.get(invariant, 0.0) * 1_000
            self.stdout.write(f"  {invariant}  {meaning:<46} {state:<10} {took_ms:>7.0f} ms")
            if invariant in report.skipped:
                self.stdout.write(f"        {report.skipped[invariant]}")
            for breach in breaches[:DETAILS_MAX]:
                self.stdout.write(f"        {breach.detail}")
            if len(breaches) > DETAILS_MAX:
                self.stdout.write(f"        and {len(breaches) - DETAILS_MAX} more")
        for partition_id, events in report.lag_events.items():
            seconds = report.lag_seconds[partition_id]
            self.stdout.write(
                f"  S2  settlement of partition {partition_id} is {events} events, "
                f"{seconds:.1f} s behind"
            )
        self.stdout.write("green" if report.is_green else "BROKEN")


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as the JSON that --json prints."""
    return {
        "green": report.is_green,
        "full": report.full,
        "invariants": {
            invariant: [breach.detail for breach in report.of(invariant)]
            for invariant in INVARIANTS
        },
        "skipped": report.skipped,
        "symbols_affected": report.symbols_affected(),
        "settlement_lag": {
            str(partition_id): {
                "events": events,
                "seconds": round(report.lag_seconds[partition_id], 3),
            }
            for partition_id, events in report.lag_events.items()
        },
    }
