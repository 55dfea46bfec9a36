"""A market with funded traders, and all that an order passes through: a test turns each part."""

from dataclasses import dataclass

import psycopg

from orders.intake.jobs import Accepted, Job
from orders.intake.thread import Intake
from orders.settlement.batch import settle_batch
from tests.factories.market import Market
from tests.factories.worker import Surroundings, WorkerProcess


@dataclass(slots=True)
class Venue:
    """Intake runs in its own thread; worker and settlement do what they are told to."""

    market: Market
    intake: Intake
    around: Surroundings
    worker: WorkerProcess
    db: psycopg.Connection

    def accept(self, job: Job) -> int:
        """Have a job accepted; return the id of its command."""
        assert isinstance(self.intake.submit(job), Accepted)
        return job.command_id

    def match(self) -> None:
        """Let the engine do, and tell, what was asked for; nothing is booked."""
        self.around.deliver()
        self.worker.run()

    def settle(self) -> None:
        """Book all that the engine did."""
        while settle_batch(self.db, self.market.partition_id) is not None:
            pass

    def cancel(self, account: int, *order_ids: int) -> None:
        """Have orders cancelled, by the engine and not yet in the books."""
        for order_id in order_ids:
            self.accept(self.market.cancel_job(account, order_id))
        self.match()
