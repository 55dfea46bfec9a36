"""What the settlement of a trade costs, in units of a fixed work."""

import statistics
from typing import Final

from exchange.infra.database import connect
from orders.settlement.batch import settle_batch
from tests.lab.bench.settlement import PARTITION, trades_make
from tests.lab.gate.turns import Turns, backend_ns, thread_ns, wal_records
from tests.steps import steps_of

TRADES: Final = 10_240
BATCH: Final = 256
ACCOUNTS: Final = 200
SEED: Final = 1
WARM_BATCHES: Final = 5
COUNTED_BATCHES: Final = 5


def settlement_costs() -> tuple[dict[str, float], dict[str, float]]:
    """Return counts and times of a trade, in the settling thread and in its Postgres process."""
    trades_make(trades=TRADES, batch=BATCH, accounts=ACCOUNTS, seed=SEED)
    turns = Turns()
    with connect("settlement", keep_plans=True) as connection:
        pid = connection.info.backend_pid

        def settle() -> None:
            assert settle_batch(connection, PARTITION) is not None

        def costs() -> tuple[float, float]:
            before = backend_ns(pid)
            ours = thread_ns(settle)
            return ours / BATCH, (backend_ns(pid) - before) / BATCH

        for _ in range(WARM_BATCHES):
            settle()
        steps = statistics.median(steps_of(settle) for _ in range(COUNTED_BATCHES))
        records = wal_records(connection)
        for _ in range(COUNTED_BATCHES):
            settle()
        records = wal_records(connection) - records
        for _ in range(TRADES // BATCH - WARM_BATCHES - 2 * COUNTED_BATCHES):
            turns.take(costs)
        assert settle_batch(connection, PARTITION) is None, "every synthetic trade is settled"
    ours, theirs = turns.medians
    return (
        {
            "settlement: steps of a trade": steps / BATCH,
            "settlement: WAL records of a trade": records / COUNTED_BATCHES / BATCH,
        },
        {
            "settlement: a trade, in units": ours,
            "settlement: a trade in Postgres, in units": theirs,
        },
    )
