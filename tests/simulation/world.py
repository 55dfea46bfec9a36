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

from exchange.domain.enums import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange.domain.ids import IdGenerator
from matching.codec import decode_command, encode_command
from matching.messages import OPEN, Place
from matching.worker import Batch, Committed, EngineFailed, LeaseLost
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, Job, PlaceJob
from orders.results import PostgresResults
from orders.settlement import settle_batch
from tests.factories.market import market_make
from tests.factories.worker import (
    MemoryFeed,
    MemoryStream,
    TestClock,
    WorkerProcess,
    worker_start,
)

ACCOUNTS: Final = 4
JOBS_PER_BATCH_MAX: Final = 6
DEATH_NOTICED_S_MAX: Final = 5.0
PRICE_MIDDLE: Final = 1_000


class Killed(BaseException):
    """The process is gone at this very line. Not an Exception: nothing may handle it."""


class Death:
    """Where the worker dies next; armed by the simulation, used up by one death."""

    POINTS = ("before_commit", "between_statements", "after_commit", "before_publish", "published")

    def __init__(self) -> None:
        self.point = ""

    def strike(self, point: str) -> None:
        if self.point == point:
            self.point = ""
            raise Killed(point)


class MortalResults(PostgresResults):
    """The real results, in a process that may die before, during and after its transaction."""

    death: Death

    def commit(self, batch: Batch) -> Committed:
        self.death.strike("before_commit")
        committed = super().commit(batch)
        self.death.strike("after_commit")
        return committed

    def _frames(self, *args: Any) -> list[tuple[str, bytes]]:
        self.death.strike("between_statements")
        return super()._frames(*args)


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
        if type(command) is Place:
            self.garbled += 1
            command.price_ticks += 5
            command.account_id += 1
            return encode_command(command)
        return payload


class Simulation:
    """One seeded life of a small exchange. `run`, then `heal`, then look at the rows."""

    def __init__(self, seed: int, db: psycopg.Connection) -> None:
        self.random = Random(seed)
        self.db = db
        self.clock = TestClock()
        self.market = market_make(
            ids=IdGenerator(seed % 1024, self.clock.now_ms),
            accounts=ACCOUNTS,
            # So little that some orders cannot be paid for.
            funds=Decimal(self.random.choice([2, 20, 2_000])),
        )
        self.death = Death()
        self.stream = MemoryStream(self.clock)
        self.road = BadRoad(self.random, self.stream)
        self.feed = MortalFeed(self.death)
        self.process: WorkerProcess | None = None
        self.paused: list[WorkerProcess] = []
        self.acknowledged: list[int] = []
        self.placed: list[tuple[int, int, Side]] = []  # (account, order id, side)
        self.not_amended: set[int] = set()  # those with an impossible price
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
        ]
        actors, weights = zip(*chances, strict=True)
        for _ in range(actions):
            actor = self.random.choices(actors, weights)[0]
            self.happened[actor.__name__] += 1
            actor()

    def intake(self) -> None:
        jobs = [self._job() for _ in range(self.random.randint(1, JOBS_PER_BATCH_MAX))]
        commit_batch(
            self.db, jobs, self.market.outbox, next_id=self.market.ids.next_id, wait_for_locks=True
        )
        payloads = self.market.outbox.take()
        if self.random.random() < 0.08:
            self.happened["web_dies_before_xadd"] += 1
            payloads = []
        if not self.stream.is_down:
            self.road.send(payloads)
        for job in jobs:
            if isinstance(job.outcome, Accepted):
                self.acknowledged.append(job.command_id)
                if isinstance(job, PlaceJob):
                    account = self.market.account_ids.index(job.account_id)
                    self.placed.append((account, job.command_id, job.draft.side))

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
            "UPDATE orders_order SET price = -1 WHERE type = 'limit' AND id = ("
            " SELECT max(id) FROM orders_order WHERE symbol_id = %s AND engine_seq IS NULL)"
            " RETURNING id",
            (self.market.symbol_id,),
        ).fetchall()
        self.happened["poisoned"] += len(poisoned)
        self.not_amended.update(row[0] for row in poisoned)

    def redis_fails(self) -> None:
        self.stream.is_down = self.feed.is_down = True

    def redis_recovers(self) -> None:
        self.stream.is_down = self.feed.is_down = False

    def redis_is_wiped(self) -> None:
        self.stream.wipe()

    def time_passes(self) -> None:
        self.clock.sleep_ms(self.random.choice([1, 20, 150, 400, 3_000]))

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
        for _ in range(3):
            self.turn()
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

    def _start(self) -> None:
        started = time.monotonic()
        while self.process is None:  # the server notices the predecessor's death in its own time
            assert time.monotonic() - started < DEATH_NOTICED_S_MAX
            self.process = worker_start(
                self.market, self.stream, self.feed, self.clock, results_class=MortalResults
            )
        results = self.process.worker.results
        assert isinstance(results, MortalResults)
        results.death = self.death
        assert self.process.loaded.is_hash_equal, "B3: book in memory = open orders in Postgres"

    def _bury(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process = None

    # --- what clients ask for

    def _job(self) -> Job:
        luck = self.random.random()
        account = self.random.randrange(ACCOUNTS)
        if luck < 0.02:
            return self.market.cancel_all_job(account)
        if luck < 0.04:
            return self.market.state_job(OPEN)
        if luck < 0.30 and self.placed:
            account, order_id, side = self.random.choice(self.placed[-12:])
            if luck < 0.18 or order_id in self.not_amended:
                return self.market.cancel_job(account, order_id)
            return self.market.amend_job(
                account,
                order_id,
                side,
                price_ticks=self._price(side) if luck < 0.27 else 0,
                quantity_lots=self.random.randint(1, 12),
                keep_priority=luck > 0.28,
            )
        return self._place(account)

    def _place(self, account: int) -> PlaceJob:
        random = self.random
        side = random.choice([Side.BUY, Side.SELL])
        lots = random.randint(1, 12)
        options: dict[str, Any] = {}
        if random.random() < 0.1:
            options["self_trade"] = SelfTradePrevention.NONE
        kind = random.random()
        if kind < 0.08 and side is Side.BUY:
            amount = random.randint(1, 12) * PRICE_MIDDLE
            options["quote_atoms"] = amount * self.market.rules.units.quote_atoms_per_ticklot
            lots = 0
        if kind < 0.15:
            options["type"] = OrderType.MARKET
            options["time_in_force"] = TimeInForce.IOC
            bound = 50 if side is Side.BUY else -50
            return self.market.place_job(account, side, lots, PRICE_MIDDLE + bound, **options)
        if kind < 0.35:
            options["time_in_force"] = random.choice([TimeInForce.IOC, TimeInForce.FOK])
        elif kind < 0.45:
            options["post_only"] = True
        return self.market.place_job(account, side, lots, self._price(side), **options)

    def _price(self, side: Side) -> int:
        """Mostly around the middle, so that a good part of the orders meet."""
        lean = -2 if side is Side.BUY else 2
        return PRICE_MIDDLE + lean + self.random.randint(-4, 4)
