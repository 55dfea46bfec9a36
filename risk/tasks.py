"""Celery tasks of risk: the audit, its metrics, and the freeze of symbols after a breach."""

import time
from typing import Final

import structlog
from celery import current_app, shared_task

from exchange.infra import metrics
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect
from risk.audit.run import INVARIANTS, Report, audit_run

# By name, because the task is in orders, a layer above: a freeze is a command to the engine.
FREEZE_TASK = "orders.tasks.symbols_freeze"

# A run that reads a million open orders takes minutes on a busy machine. It is not sent again when
# its worker dies: the next one comes within a minute.
AUDIT_SOFT_SECONDS: Final = 600
AUDIT_HARD_SECONDS: Final = 630

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@shared_task(acks_late=False, soft_time_limit=AUDIT_SOFT_SECONDS, time_limit=AUDIT_HARD_SECONDS)
def audit() -> bool | None:
    """Audit the rows after the last marks; return whether all is green, None if an audit runs.

    Each open order is compared for a part of the time only (`sparing`). A breach is logged as
    critical and freezes the symbols that it concerns, because trading on wrong numbers makes them
    worse.
    """
    with (
        connect("audit", index_plans=False) as connection,
        periodic_lock(connection, PeriodicTask.AUDIT) as held,
    ):
        if not held:
            return None
        connection.execute("SET ROLE NONE")
        report = audit_run(connection, sparing=True)
    report_publish(report)
    return report.is_green


def report_publish(report: Report) -> None:
    """Set the metrics, log each breach, and send the task that freezes the affected symbols."""
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
