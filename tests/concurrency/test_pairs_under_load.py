"""Pairs, amends and fills in two intakes beside settlement: no deadlock, nothing lost.

Every transaction takes reservations before balances, and the rows of each in one order (L4, L5).
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import psycopg
from django.db import connections

from exchange.domain.enums import ListKind, OrderType, SelfTradePrevention, Side
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect
from matching.engine.messages import CLOSED
from orders.intake.batch import commit_batch
from orders.intake.jobs import AmendJob, Job
from orders.settlement.batch import settle_batch
from risk.audit.inputs import positions, symbols
from risk.audit.reservations import reservations_are_exact
from tests.concurrency.test_races import assert_reserved_is_explained, run
from tests.factories.advanced_jobs import list_job, special_job
from tests.factories.market import Market, market_make
from tests.factories.worker import Surroundings
from tests.waiting import HANG_S
from wallets.models import Reservation

BATCHES = 80  # of each client
AUDIT_PAUSE_S = 0.02  # leaves the processors to what is audited; nothing waits for its end
BUY, SELL = Side.BUY, Side.SELL
ACCOUNTS = 3
TURNS_TO_END_MAX = 200


class Client:
    """One process's intake, sending batches of whatever comes to its mind."""

    def __init__(self, market: Market, node: int) -> None:
        self.market = market
        self.chance = random.Random(node)
        self.ids = IdGenerator(node, lambda: time.time_ns() // 1_000_000)
        self.outcomes: Counter[str] = Counter()
        self.sent = 0

    def send(self, connection: psycopg.Connection) -> None:
        jobs = [self._job() for _ in range(self.chance.randint(1, 8))]
        is_patient = self.chance.random() < 0.5
        commit_batch(
            connection,
            jobs,
            self.market.publisher,
            next_id=self.ids.next_id,
            wait_for_locks=is_patient,
        )
        for job in jobs:
            kind, outcome = type(job).__name__, job.outcome
            told = "deferred" if outcome is None else getattr(outcome, "code", "accepted")
            self.outcomes[f"{kind} {told}"] += 1
        self.sent += 1

    def _job(self) -> Job:
        chance = self.chance
        side, account = chance.choice((BUY, SELL)), chance.randrange(ACCOUNTS)
        ticks, lots = 100 + chance.randint(-4, 4), chance.randint(1, 9)
        match chance.randrange(4):
            case 0:
                return self._amend() or self.market.place_job(account, side, lots, ticks)
            case 1:
                stop = special_job(
                    self.market, account, side, lots + 3, 110 if side is BUY else 90,
                    type=OrderType.STOP_MARKET, stop_ticks=107 if side is BUY else 93,
                )  # fmt: skip
                limit = special_job(self.market, account, side, lots, ticks)
                return list_job(self.market, account, ListKind.OCO, limit, stop)
            case 2:
                mode = chance.choice(list(SelfTradePrevention))
                return self.market.place_job(account, side, lots, ticks, self_trade=mode)
        return self.market.place_job(account, side, lots, ticks)

    def _amend(self) -> AmendJob | None:
        rows = Reservation.objects.order_by("?").values_list("order_id", "account_id", "side")
        found = rows.first()
        if found is None:
            return None
        lots = self.chance.randint(1, 15)
        account = self.market.account_ids.index(found[1])
        return self.market.amend_job(account, found[0], Side(found[2]), quantity_lots=lots)


def audited(connection: psycopg.Connection) -> None:
    """L5 at any moment, amends on their way included."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = reservations_are_exact(connection, positions(connection), symbols(connection))
    assert found == [], found
    time.sleep(AUDIT_PAUSE_S)


class Load:
    """Threads that act on connections of their own until all clients are through or one fails."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self.failures: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def goes_on(self) -> bool:
        return not self.failures and any(one.sent < BATCHES for one in self.clients)

    def add(self, act: Callable[[psycopg.Connection], object]) -> None:
        def body() -> None:
            try:
                with connect("test-load") as connection:
                    while self.goes_on():
                        act(connection)
            except BaseException as error:  # told by the test's own thread
                self.failures.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=body)
        self.threads.append(thread)
        thread.start()


def test_pairs_amends_and_fills_at_once_neither_deadlock_nor_lose_anything(
    transactional_db: None,
) -> None:
    ids = IdGenerator(7, lambda: time.time_ns() // 1_000_000)
    market = market_make(ids=ids, accounts=ACCOUNTS)
    around = Surroundings(market)
    worker = around.start()
    clients = [Client(market, node) for node in (11, 12)]
    load = Load(clients)
    for client in clients:
        load.add(client.send)
    load.add(lambda connection: settle_batch(connection, market.partition_id))
    load.add(audited)
    while load.goes_on():
        around.deliver()
        worker.run(1)
    for thread in load.threads:
        thread.join(HANG_S)
    assert load.failures == []
    accepted = clients[0].outcomes + clients[1].outcomes
    for kind in ("PlaceJob", "ListJob", "AmendJob"):
        assert accepted[f"{kind} accepted"] > 10, accepted
    with connect("test-load") as connection:
        market.submit(connection, market.state_job(CLOSED))
    for _ in range(TURNS_TO_END_MAX):
        run(around, worker)
        if not Reservation.objects.exists():
            break
    around.close()
    assert not Reservation.objects.exists(), "every order has ended, and reserves nothing"
    assert_reserved_is_explained(market)
