"""What the settlement of a trade costs, in units of a fixed work."""

from typing import Final

from exchange.infra.database import connect
from orders.settlement.batch import settle_batch
from tests.lab.bench.settlement import PARTITION, trades_make
from tests.lab.gate.turns import Turns, backend_ns, thread_ns

TRADES: Final = 10_240
BATCH: Final = 256
ACCOUNTS: Final = 200
SEED: Final = 1
WARM_BATCHES: Final = 5


def settlement_ratios() -> list[float]:
    """Return the cost of a trade: in the settling thread, and in its Postgres process."""
    trades_make(trades=TRADES, batch=BATCH, accounts=ACCOUNTS, seed=SEED)
    turns = Turns()
    with connect("settlement") as connection:
        pid = connection.info.backend_pid

        def costs() -> tuple[float, float]:
            before = backend_ns(pid)
            ours = thread_ns(lambda: settle_batch(connection, PARTITION))
            return ours / BATCH, (backend_ns(pid) - before) / BATCH

        for _ in range(WARM_BATCHES):
            costs()
        for _ in range(TRADES // BATCH - WARM_BATCHES):
            turns.take(costs)
        assert settle_batch(connection, PARTITION) is None, "every synthetic trade is settled"
    return turns.medians
