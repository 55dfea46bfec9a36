"""Intake alone: how many orders a second one connection accepts durably, by batch size.

A pass runs every batch size once on a connection of its own; a rate is the median of the passes.
One pass differs by a tenth from the next on a shared machine.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Final

from exchange.domain.ids import IdGenerator
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.database import connect, node_number
from exchange.selectors import catalogue_read
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, PlaceJob
from orders.intake.publish import RedisPublisher
from orders.validation.orders import draft_build
from orders.validation.requests import OrderRequest
from tests.lab.bench.venue import PRICE_TICKS, QUANTITY, TICK, venue_open
from tests.lab.clients.bots import Bot

PASSES: Final = 5
# Orders of one pass by batch size, about half a second of each.
ORDERS_BY_BATCH: Final = {1: 500, 8: 4_000, 32: 6_400, 128: 12_800}
# A new connection plans its statements in these batches, which are not timed.
WARM_BATCHES: Final = 10
USERS: Final = 100
LEVELS: Final = 400
FEES_PPM: Final = (0, 400)


@dataclass(frozen=True, slots=True)
class IntakeRate:
    """Orders a second at one batch size; parsing left out, commit and publishing included."""

    batch: int
    rates: tuple[float, ...]

    def line(self) -> str:
        """One line of the table."""
        rate = statistics.median(self.rates)
        return (
            f"batches of {self.batch:>3}  {rate:>10,.0f} orders/s"
            f"   ({1e3 * self.batch / rate:.2f} ms a batch;"
            f" {min(self.rates):,.0f} to {max(self.rates):,.0f})"
        )


def intake() -> list[IntakeRate]:
    """Measure every batch size on a fresh symbol, with reservations and durable commits."""
    symbol, bots = venue_open(USERS)
    code, rules = symbol.code, catalogue_read().symbols_by_id[symbol.pk]
    ids = IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
    rates: dict[int, list[float]] = {size: [] for size in ORDERS_BY_BATCH}
    for number in range(PASSES):
        for size, orders in ORDERS_BY_BATCH.items():
            warm = size * WARM_BATCHES
            jobs = jobs_make(code, f"i{number}.{size}", orders + warm, rules, bots)
            rates[size].append(_rate(jobs, size, warm, ids))
    return [IntakeRate(size, tuple(found)) for size, found in rates.items()]


def jobs_make(
    code: str, prefix: str, orders: int, rules: SymbolRules, bots: list[Bot]
) -> list[PlaceJob]:
    """Parse limit orders to buy, of all users in turn and below each other in price."""
    jobs = []
    for number in range(orders):
        ticks = PRICE_TICKS - 1 - number % LEVELS
        request = OrderRequest(
            symbol=code,
            side="buy",
            type="limit",
            client_order_id=f"{prefix}.{number}",
            price=format(ticks * TICK, "f"),
            quantity=QUANTITY,
        )
        jobs.append(
            PlaceJob(
                account_id=bots[number % len(bots)].account_id,
                draft=draft_build(request, rules),
                rules=rules,
                maker_fee_ppm=FEES_PPM[0],
                taker_fee_ppm=FEES_PPM[1],
                fingerprint=f"{number:064x}",
            )
        )
    return jobs


def _rate(jobs: list[PlaceJob], size: int, warm: int, ids: IdGenerator) -> float:
    """Commit the jobs in batches of this size; return orders a second after the first `warm`."""
    publisher = RedisPublisher()
    started = time.perf_counter()
    with connect("bench-intake", keep_plans=True) as connection:
        for first in range(0, len(jobs), size):
            if first == warm:
                started = time.perf_counter()
            batch = jobs[first : first + size]
            left = commit_batch(connection, batch, publisher, next_id=ids.next_id)
            assert not left
        publisher.confirm()
    seconds = time.perf_counter() - started
    assert all(isinstance(job.outcome, Accepted) for job in jobs)
    return (len(jobs) - warm) / seconds
