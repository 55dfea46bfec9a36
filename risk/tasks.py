"""Celery tasks of risk: the audit, and what it sets in motion when it finds something."""

import time

import structlog
from celery import current_app, shared_task

from exchange.infra import metrics
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect
from risk.audit.run import INVARIANTS, Report, audit_run

# By name: freezing is a command to the engine, which is the business of orders, a layer above.
FREEZE_TASK = "orders.tasks.symbols_freeze"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@shared_task
def audit() -> bool | None:
    """Audit what is new since the last time; True when green, None when another audit runs.

    A breach is logged as critical and freezes the symbols that it concerns: trading on wrong
    numbers makes them worse.
    """
    with (
        connect("audit", index_plans=False) as connection,
        periodic_lock(connection, PeriodicTask.AUDIT) as held,
    ):
        if not held:
            return None
        connection.execute("SET ROLE NONE")
        report = audit_run(connection)
    report_publish(report)
    return report.is_green


def report_publish(report: Report) -> None:
    """Set the metrics, log each breach, and have the affected symbols frozen."""
    for invariant in INVARIANTS:
        metrics.AUDIT_OK.labels(invariant).set(0 if report.of(invariant) else 1)
    metrics.AUDIT_TIME.set(time.time())
    for invariant, why in report.skipped.items():
        log.warning("audit.skipped", invariant=invariant, detail=why)
    if report.is_green:
        return
    for breach in report.breaches:
        log.critical("audit.breach", invariant=breach.invariant, detail=breach.detail)
    codes = report.symbols_affected()
    if not codes:
        return
    broken = ", ".join(sorted({breach.invariant for breach in report.breaches}))
    current_app.send_task(FREEZE_TASK, args=[codes, f"audit: {broken} broken"])
