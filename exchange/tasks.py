"""The periodic task of exchange: partitions of the big tables."""

from datetime import UTC, datetime

import structlog
from celery import shared_task
from django.conf import settings

from exchange.infra import partitions
from exchange.infra.advisory import PeriodicTask, periodic_lock
from exchange.infra.database import connect

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@shared_task
def ensure_partitions() -> None:
    """Make partitions ahead, detach those past their retention, and log where too few lie ahead."""
    now = datetime.now(UTC)
    with (
        connect("partitions", index_plans=False) as connection,
        periodic_lock(connection, PeriodicTask.PARTITIONS) as held,
    ):
        if not held:
            return
        connection.execute("SET ROLE NONE")  # tables are changed by their owner
        made = partitions.ensure(connection, now)
        keep_days: dict[str, int] = getattr(settings, "PARTITION_KEEP_DAYS", {})
        detached = partitions.retain(connection, now, keep_days=keep_days)
        if made or detached:
            log.info("partitions.changed", made=made, detached=detached)
        for coverage in partitions.check(connection, now):
            if coverage.alarms:
                log.critical("partitions.too_few", table=coverage.table, ahead=coverage.ahead)
