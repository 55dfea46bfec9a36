"""Rate limits and replays within a process while Redis is away: both held, both bounded."""

import pytest

from exchange.infra import buckets
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.throttling import REPLAY_MS, ReplayMemory

TEN = Rate(per_second=10, burst=10)


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def test_a_signature_is_a_replay_until_its_time_is_over() -> None:
    clock = Clock()
    memory = ReplayMemory(clock)
    assert not memory.is_replay("a")
    clock.ms += REPLAY_MS - 1
    assert memory.is_replay("a")
    clock.ms += 2
    assert not memory.is_replay("a")


def test_a_full_bucket_empties_and_refills_at_its_rate() -> None:
    clock = Clock()
    local = LocalBuckets(clock)
    assert [local.take("ada", TEN, 1) for _ in range(10)] == [
        (0, left) for left in range(9, -1, -1)
    ]
    assert 0 < local.take("ada", TEN, 1).wait_ms <= 101
    clock.ms += 100
    assert local.take("ada", TEN, 1).wait_ms == 0
    assert local.take("ada", TEN, 1).wait_ms > 0
    assert local.take("boris", TEN, 1).wait_ms == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    local = LocalBuckets(clock)
    local.take("ada", TEN, 5)
    clock.ms += 60_000
    assert sum(local.take("ada", TEN, 1).wait_ms == 0 for _ in range(20)) == 10


def test_a_request_takes_its_weight_and_what_is_given_back_is_there_again() -> None:
    clock = Clock()
    local = LocalBuckets(clock)
    assert local.take("ada", TEN, 8).left == 2
    assert local.take("ada", TEN, 3).wait_ms == 100
    assert local.take("ada", TEN, 2).left == 0
    local.give_back("ada", TEN, 2)
    assert local.take("ada", TEN, 2).wait_ms == 0
    local.give_back("ada", TEN, 1_000)
    assert local.take("ada", TEN, 1).left == 9


def test_what_weighs_more_than_a_bucket_holds_passes_when_it_is_full_and_leaves_a_debt() -> None:
    clock = Clock()
    local = LocalBuckets(clock)
    assert local.take("ada", TEN, 30).wait_ms == 0
    assert local.take("ada", TEN, 1).wait_ms == 2_100
    clock.ms += 2_101
    assert local.take("ada", TEN, 1).wait_ms == 0


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "BUCKETS_MAX", 100)
    local = LocalBuckets(Clock())
    for number in range(110):
        local.take(str(number), TEN, 1)
    assert len(local) == 100
