"""A matching worker in the test's own process: real rows, its stream and feed in memory."""

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
import pytest

from exchange.infra.database import connect
from matching.worker.arrivals import Arrivals
from matching.worker.loop import Worker
from matching.worker.ports import Clock, Feed, Stream, StreamDown
from matching.worker.sequencer import COMMANDS_PER_BATCH_MAX
from orders.recording.results import PostgresResults
from orders.recording.unsequenced import UnsequencedRows
from orders.recovery.lease import Lease, lease_acquire
from orders.recovery.partition import Loaded, partition_load
from tests.factories.market import Market
from tests.factories.mortal import Death, Killed, MortalResults
from tests.waiting import wait_until

_OWNERS = itertools.count()


class TestClock:
    """Time that only moves when something sleeps or the test says so."""

    __test__ = False

    def __init__(self, start_ms: int | None = None) -> None:
        self.time_ms = start_ms if start_ms is not None else time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        return self.time_ms

    def sleep_ms(self, duration_ms: int) -> None:
        self.time_ms += duration_ms


class MemoryStream:
    """A command stream that can lose its content and its server."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.entries: list[tuple[int, bytes]] = []
        self.last = 0
        self.is_down = False

    def add(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.last += 1
            self.entries.append((self.last, payload))

    def wipe(self) -> None:
        self.entries.clear()
        self.last = 0

    def read(self, position: str, count: int, wait_ms: int) -> list[tuple[str, bytes]]:
        self._check()
        after = int(position.partition("-")[0])
        found = [(f"{key}-0", payload) for key, payload in self.entries if key > after]
        if not found:
            self.clock.sleep_ms(wait_ms)
        return found[:count]

    def start_for(self, position: str) -> str:
        self._check()
        return position if int(position.partition("-")[0]) <= self.last else "0-0"

    def trim(self, position: str) -> None:
        self._check()
        upto = int(position.partition("-")[0])
        self.entries = [entry for entry in self.entries if entry[0] >= upto]

    def _check(self) -> None:
        if self.is_down:
            raise StreamDown("down on purpose")


class MemoryFeed:
    """Keeps every frame that was published, in order."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.snapshots: list[set[int]] = []
        self.notices = 0
        self.is_down = False

    def publish(self, frames: Sequence[tuple[str, bytes]], symbol_ids: Collection[int]) -> None:
        self._check()
        self.frames.extend(frames)

    def snapshot(self, symbol_ids: Collection[int]) -> None:
        self._check()
        self.snapshots.append(set(symbol_ids))

    def notify_settlement(self) -> None:
        self._check()
        self.notices += 1

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(frame) for name, frame in self.frames if name == topic]

    def _check(self) -> None:
        if self.is_down:
            raise StreamDown("down on purpose")


@dataclass(slots=True)
class WorkerProcess:
    """What a matching process holds in memory; `kill` drops all of it."""

    connection: psycopg.Connection
    lease: Lease
    loaded: Loaded
    worker: Worker

    def kill(self) -> None:
        self.connection.close()

    def run(self, steps: int = 4) -> int:
        """Take some turns; return how many commands were sequenced."""
        return sum(self.worker.step() for _ in range(steps))

    def drain(self) -> None:
        """Take turns until all that was accepted has a sequence, and the last turn found nothing.

        Ids made outside the test's clock may be ahead of it, as it stands still while the machine
        is busy: no number of turns brings the sweep to them. The turns themselves move the clock.
        """
        wait_until(self._is_idle, "all that was accepted has a sequence", pause=0)

    def _is_idle(self) -> bool:
        is_idle = self.worker.step() == 0
        return is_idle and not self.worker.arrivals.unsequenced.sweep(age_ms=0, limit=1)


@dataclass(slots=True)
class Surroundings:
    """What outlives a worker: its stream, its feed and the time."""

    market: Market
    clock: TestClock = field(default_factory=TestClock)
    stream: MemoryStream = field(init=False)
    feed: MemoryFeed = field(default_factory=MemoryFeed)
    started: list[WorkerProcess] = field(default_factory=list)
    death: Death = field(default_factory=Death)

    def __post_init__(self) -> None:
        self.stream = MemoryStream(self.clock)

    def deliver(self) -> None:
        """Put what intake published onto the stream."""
        self.stream.add(*self.market.publisher.take())

    def start(self, owner: str = "") -> WorkerProcess:
        # Postgres may take a moment to notice that the one before has gone.
        process = wait_until(
            lambda: worker_start(
                self.market,
                self.stream,
                self.feed,
                self.clock,
                owner=owner,
                results_class=MortalResults,
            ),
            "the lease is free",
        )
        assert isinstance(process.worker.results, MortalResults)
        process.worker.results.death = self.death
        self.started.append(process)
        return process

    def die(self, point: str) -> None:
        """Let the last process take a turn and end at this point of it (`Death.POINTS`)."""
        self.death.point = point
        with pytest.raises(Killed, match=point):
            self.started[-1].run(1)

    def close(self) -> None:
        for process in self.started:
            process.kill()


def worker_start(
    market: Market,
    stream: Stream,
    feed: Feed,
    clock: Clock,
    *,
    owner: str = "",
    results_class: type[PostgresResults] = PostgresResults,
) -> WorkerProcess | None:
    """Start a worker on a connection of its own; None while another one holds the lease."""
    connection = connect("test-matching")
    owner = owner or f"test:{next(_OWNERS)}"
    lease = lease_acquire(connection, partition_id=market.partition_id, owner=owner)
    if lease is None:
        connection.close()
        return None
    loaded = partition_load(connection, lease, market.ids)
    worker = Worker(
        engine=loaded.engine,
        arrivals=Arrivals(
            engine=loaded.engine,
            stream=stream,
            unsequenced=UnsequencedRows(
                connection,
                partition_id=market.partition_id,
                units=loaded.units,
                blocked=loaded.blocked,
                now_ms=clock.now_ms,
            ),
            clock=clock,
            position=lease.stream_position,
        ),
        results=results_class(connection, lease=lease, loaded=loaded, ids=market.ids),
        feed=feed,
        clock=clock,
        next_id=market.ids.next_id,
        published_seq=lease.published_seq,
        faulty_ids=loaded.faulty_ids,
        set_aside=loaded.set_aside,
        urgent=loaded.urgent,
        careful=COMMANDS_PER_BATCH_MAX if lease.is_after_failure else 0,
    )
    return WorkerProcess(connection, lease, loaded, worker)
