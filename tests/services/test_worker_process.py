"""Two settlement workers as processes: each has its metrics, and all is settled once."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.celery import app
from exchange.infra.database import connect
from matching.engine.messages import BUY, SELL
from risk.audit.run import audit_run
from tests.factories.ledger import PARTITION, Rig
from tests.factories.role import role_running
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(500),
]

TRADES = 60


def test_two_workers_are_measured_each_and_settle_everything_once(
    transactional_db: None, base_rows: None, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with connect("test-two-workers") as connection:
        rig = Rig(connection)
        seller, buyer = rig.trader(base="1000"), rig.trader(quote="100000")
        for _ in range(TRADES):
            rig.place(seller, SELL, 10_000, 1_000)
            rig.place(buyer, BUY, 10_000, 1_000)
            rig.commit()
        with role_running("worker", folders[0]) as one, role_running("worker", folders[1]) as other:
            assert one.health_url != other.health_url
            for _ in range(20):
                app.send_task("orders.tasks.settle_partition", [PARTITION])

            def settled() -> bool:
                return entries(connection)[1] >= 7 * TRADES

            wait_until(settled, "it was never settled")
            for worker in (one, other):
                assert worker.health("/readyz")[0] == 200
                assert worker.health("/livez")[0] == 200
                assert worker.health("/metrics")[0] == 200
        assert entries(connection) == (TRADES, 7 * TRADES)
        assert audit_run(connection, full=True).breaches == []


def entries(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """How many trades were booked, and in how many lines."""
    row = connection.execute(
        "SELECT count(DISTINCT journal_id), count(*) FROM wallets_entry"
        " WHERE kind IN ('trade', 'fee')"
    ).fetchone()
    assert row is not None
    return row[0], row[1]
