"""A whole exchange in one process, driven by a seed: everything that can go wrong on the way does.

Real code and real rows: the intake batch, the worker's loop with its results, settlement. In
memory: the stream and the feed, which lose, double, delay, reorder and garble; and the time.
A process dies by dropping its memory and its connection in the middle of what it was doing.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final

import psycopg

from exchange.domain.errors import DomainError
from exchange.domain.ids import IdGenerator
from matching.engine.messages import Place, PlaceList
from matching.state.codec import decode_command, encode_command
from matching.worker.ports import EngineFailed, LeaseLost
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, AcceptedList, Job, ListJob, PlaceJob
from orders.settlement.batch import settle_batch
from risk.audit.run import audit_run
from tests.factories.market import market_make
from tests.factories.mortal import Death, Killed, MortalResults
from tests.factories.worker import (
    MemoryFeed,
    MemoryStream,
    TestClock,
    WorkerProcess,
    worker_start,
)
from tests.simulation.clients import THEMES, Clients
from tests.waiting import wait_until

ACCOUNTS: Final = 4
JOBS_PER_BATCH_MAX: Final = 6
REST_TURNS_MAX: Final = 60
UNSERVED: Final = "orders wait, and no engine serves it"
BEHIND_MS: Final = 3_600_000


class MortalFeed(MemoryFeed):
    """The feed of a process that may die right before or right after it told the world."""

    def __init__(self, death: Death) -> None:
        super().__init__()
        self.death = death

    def publish(self, frames: Sequence[tuple[str, bytes]], symbol_ids: Any) -> None:
        if frames:
            self.death.strike("before_publish")
        super().publish(frames, symbol_ids)
        if frames:
            self.death.strike("published")


class BadRoad:
    """What becomes of commands between intake and the stream."""

    def __init__(self, random: Random, stream: MemoryStream) -> None:
        self.random = random
        self.stream = stream
        self.late: list[bytes] = []
        self.garbled = 0

    def send(self, payloads: list[bytes]) -> None:
        random = self.random
        if random.random() < 0.1:
            random.shuffle(payloads)
        for payload in payloads:
            luck = random.random()
            if luck < 0.08:
                continue  # lost
            if luck < 0.16:
                self.late.append(payload)
                continue
            if luck < 0.20:
                self.stream.add(random.randbytes(random.randrange(12)))
            if 0.20 <= luck < 0.24:
                payload = self._garbled(payload)
            self.stream.add(payload)
            if luck > 0.92:
                self.stream.add(payload)  # doubled
        if self.late and random.random() < 0.3:
            self.deliver_late()

    def deliver_late(self) -> None:
        self.random.shuffle(self.late)
        self.stream.add(*self.late)
        self.late.clear()

    def _garbled(self, payload: bytes) -> bytes:
        """An entry that says something else than its row: of it, only the id may be believed."""
        command = decode_command(payload)
        places = [command] if type(command) is Place else []
        if type(command) is PlaceList:
            places = command.orders
        for place in places:
            self.garbled += 1
            place.price_ticks += 5
            place.account_id += 1
        return encode_command(command)


class Simulation:
    """One seeded life of a small exchange. `run`, then `heal`, then look at the rows."""

    def __init__(self, seed: int, db: psycopg.Connection) -> None:
        self.random = Random(seed)
        self.db = db
        # Behind the wall's time throughout: entries get their ids by that, later than their trades.
        self.clock = TestClock(time.time_ns() // 1_000_000 - BEHIND_MS)
        self.market = market_make(
            ids=IdGenerator(seed % 1024, self.clock.now_ms),
            accounts=ACCOUNTS,
            # So little that some orders cannot be paid for.
            funds=Decimal(self.random.choice([Decimal("0.2"), 2, 2_000])),
        )
        self.death = Death()
        self.stream = MemoryStream(self.clock)
        self.road = BadRoad(self.random, self.stream)
        self.feed = MortalFeed(self.death)
        self.process: WorkerProcess | None = None
        self.paused: list[WorkerProcess] = []
        self.clients = Clients(self.random, self.market, self.clock, seed % len(THEMES))
        self.acknowledged: list[int] = []
        self.happened: dict[str, int] = defaultdict(int)

    # --- what may happen

    def run(self, actions: int) -> None:
        chances: list[tuple[Callable[[], None], int]] = [
            (self.intake, 12),
            (self.turn, 14),
            (self.settle, 5),
            (self.settlement_dies, 1),
            (self.worker_dies, 3),
            (self.worker_pauses, 1),
            (self.an_order_is_poisoned, 1),
            (self.redis_fails, 1),
            (self.redis_recovers, 2),
            (self.redis_is_wiped, 1),
            (self.time_passes, 3),
            (self.an_audit_comes_by, 1),
        ]
        actors, weights = zip(*chances, strict=True)
        for _ in range(actions):
            actor = self.random.choices(actors, weights)[0]
            self.happened[actor.__name__] += 1
            actor()

    def intake(self) -> None:
        jobs = [self.clients.job() for _ in range(self.random.randint(1, JOBS_PER_BATCH_MAX))]
        commit_batch(
            self.db,
            jobs,
            self.market.publisher,
            next_id=self.market.ids.next_id,
            wait_for_locks=True,
        )
        payloads = self.market.publisher.take()
        if self.random.random() < 0.08:
            self.happened["web_dies_before_xadd"] += 1
            payloads = []
        if not self.stream.is_down:
            self.road.send(payloads)
        for job in jobs:
            self._answered(job)

    def _answered(self, job: Job) -> None:
        """What the client is told, and remembers."""
        outcome = job.outcome
        if isinstance(outcome, AcceptedList):
            assert isinstance(job, ListJob)
            self.happened[f"list {outcome.kind}"] += 1
            for row in outcome.orders:
                self.acknowledged.append(row["id"])
                self.clients.accepted(job.account_id, row)
        elif isinstance(outcome, Accepted):
            self.acknowledged.append(job.command_id)
            if isinstance(job, PlaceJob):
                assert outcome.order is not None
                self.happened[f"order {job.draft.type}"] += 1
                self.clients.accepted(job.account_id, outcome.order)
        else:
            assert isinstance(outcome, DomainError), outcome
            self.happened[f"refused {outcome.code}"] += 1

    def turn(self) -> None:
        if self.process is None:
            self._start()
            return
        try:
            self.process.worker.step()
        except (Killed, EngineFailed) as end:
            self.happened[type(end).__name__] += 1
            self._bury()

    def settle(self) -> None:
        settle_batch(self.db, self.market.partition_id)

    def settlement_dies(self) -> None:
        """All of its transaction was done, but for the commit."""
        with self.db.transaction(force_rollback=True):
            settle_batch(self.db, self.market.partition_id)

    def worker_dies(self) -> None:
        self.death.point = self.random.choice(self.death.POINTS)

    def worker_pauses(self) -> None:
        """It sleeps past its lease, another one takes over, then it wakes up."""
        if self.process is None:
            return
        sleeper, self.process = self.process, None
        self.db.execute(
            "UPDATE orders_enginepartition SET lease_until = clock_timestamp() - interval '1 ms'"
            " WHERE id = %s",
            (self.market.partition_id,),
        )
        self._start()
        self.paused.append(sleeper)
        try:
            self.clock.sleep_ms(2_000)  # its heartbeat is due at the latest
            sleeper.worker.step()
        except LeaseLost:
            self.happened["LeaseLost"] += 1
        except (Killed, EngineFailed):
            pass  # it died of something else first: also without a trace
        else:
            raise AssertionError("a replaced worker went on")
        sleeper.kill()

    def an_order_is_poisoned(self) -> None:
        """A row that makes the engine raise: refused after the restart, the second one halts."""
        poisoned = self.db.execute(
            "UPDATE orders_order SET post_only = true, time_in_force = 'ioc'"
            " WHERE type = 'limit' AND expires_at IS NULL AND id = ("
            " SELECT max(id) FROM orders_order WHERE symbol_id = %s AND engine_seq IS NULL)"
            " RETURNING id",
            (self.market.symbol_id,),
        ).fetchall()
        self.happened["poisoned"] += len(poisoned)
        self.clients.not_amended.update(row[0] for row in poisoned)

    def redis_fails(self) -> None:
        self.stream.is_down = self.feed.is_down = True

    def redis_recovers(self) -> None:
        self.stream.is_down = self.feed.is_down = False

    def redis_is_wiped(self) -> None:
        self.stream.wipe()

    def time_passes(self) -> None:
        self.clock.sleep_ms(self.random.choice([1, 20, 150, 400, 3_000, 15_000]))

    def an_audit_comes_by(self) -> None:
        """Whatever is under way: what was committed and not settled is no breach."""
        told = [one.detail for one in audit_run(self.db, full=True).breaches]
        # Whether an engine serves is told by the database's clock, which is not the simulation's.
        found = [detail for detail in told if not detail.endswith(UNSERVED)]
        # A poisoned row waits to be refused; until then its reservation does not fit it.
        poisoned = [str(order_id) for order_id in self.clients.not_amended]
        assert [one for one in found if not any(id in one for id in poisoned)] == []

    # --- the end

    def heal(self) -> None:
        """Nothing fails any more: whatever was accepted must come to its end."""
        self.death.point = ""
        self.redis_recovers()
        self.road.deliver_late()
        for _ in range(60):
            self.clock.sleep_ms(400)
            self.turn()
            if self.process is not None and not self._waiting():
                break
        assert self._waiting() == 0, "everything that was accepted is sequenced"
        self.clock.sleep_ms(120_000)  # past any pause between tries to reach Redis
        for _ in range(REST_TURNS_MAX):  # and what was due by then has to come to its end
            self.turn()
            if self._is_at_rest():
                break
        assert self._is_at_rest(), "the worker does all there is to do"
        while settle_batch(self.db, self.market.partition_id) is not None:
            pass

    def reload(self) -> WorkerProcess:
        """Kill the worker and start another one."""
        self._bury()
        self._start()
        assert self.process is not None
        return self.process

    def close(self) -> None:
        for process in (self.process, *self.paused):
            if process is not None:
                process.kill()

    def _waiting(self) -> int:
        row = self.db.execute(
            "SELECT (SELECT count(*) FROM orders_order WHERE engine_seq IS NULL"
            " AND symbol_id = %s) + (SELECT count(*) FROM orders_command"
            " WHERE engine_seq IS NULL AND partition_id = %s)",
            (self.market.symbol_id, self.market.partition_id),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _is_at_rest(self) -> bool:
        """Whether nothing is due and told; a market at its band's edge gets no calmer than that."""
        if self.process is None:
            return False
        engine, symbol_id = self.process.loaded.engine, self.market.symbol_id
        due_ms = engine.next_due_ms(symbol_id)
        is_due = due_ms is not None and due_ms <= self.clock.now_ms()
        is_untold = self.process.worker.published_seq < engine.sequence
        return not (is_due or is_untold or engine.needs_continue(symbol_id))

    def _start(self) -> None:
        wait_until(self._is_started, "the server notices the predecessor's death")
        assert self.process is not None
        results = self.process.worker.results
        assert isinstance(results, MortalResults)
        results.death = self.death
        assert self.process.loaded.is_hash_equal, "B3: book in memory = open orders in Postgres"

    def _is_started(self) -> bool:
        self.process = worker_start(
            self.market, self.stream, self.feed, self.clock, results_class=MortalResults
        )
        return self.process is not None

    def _bury(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process = None
