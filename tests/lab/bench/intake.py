"""Intake alone: how many orders a second one connection accepts durably, by batch size."""

import time
from dataclasses import dataclass
from typing import Final

from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect, node_number
from exchange.selectors import catalogue_read
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, PlaceJob
from orders.intake.publish import RedisPublisher
from orders.validation.orders import draft_build
from orders.validation.requests import OrderRequest
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, venue_open

ORDERS_BY_BATCH: Final = {1: 3_000, 8: 16_000, 32: 32_000, 128: 51_200}
USERS: Final = 100
LEVELS: Final = 400
FEES_PPM: Final = (0, 400)


@dataclass(frozen=True, slots=True)
class IntakeRate:
    """Orders a second at one batch size; parsing left out, commit and publishing included."""

    batch: int
    orders: int
    seconds: float

    def line(self) -> str:
        """One line of the table."""
        batch_ms = 1e3 * self.seconds * self.batch / self.orders
        return (
            f"batches of {self.batch:>3}  {self.orders / self.seconds:>10,.0f} orders/s"
            f"   ({batch_ms:.2f} ms a batch)"
        )


def intake() -> list[IntakeRate]:
    """Measure every batch size on a fresh symbol, with reservations and durable commits."""
    symbol, bots = venue_open(USERS)
    rules = catalogue_read().symbols_by_id[symbol.pk]
    ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
    publisher = RedisPublisher()
    rates = []
    with connect("bench-intake", keep_plans=True) as connection:
        for size, orders in ORDERS_BY_BATCH.items():
            jobs = []
            for number in range(orders):
                ticks = PRICE_TICKS - 1 - number % LEVELS
                request = OrderRequest(
                    symbol=symbol.code,
                    side="buy",
                    type="limit",
                    client_order_id=f"i{size}.{number}",
                    price=format(ticks * TICK, "f"),
                    quantity=QUANTITY,
                )
                jobs.append(
                    PlaceJob(
                        account_id=bots[number % USERS].account_id,
                        draft=draft_build(request, rules),
                        rules=rules,
                        maker_fee_ppm=FEES_PPM[0],
                        taker_fee_ppm=FEES_PPM[1],
                        fingerprint=f"{number:064x}",
                    )
                )
            started = time.perf_counter()
            for first in range(0, orders, size):
                batch = jobs[first : first + size]
                left = commit_batch(connection, batch, publisher, next_id=ids.next_id)
                assert not left
            rates.append(IntakeRate(size, orders, time.perf_counter() - started))
            assert all(isinstance(job.outcome, Accepted) for job in jobs)
    return rates
