"""What a process relies on when Redis is away: replays are caught, rates are held, both bounded."""

from exchange.api.throttling import BUCKETS_MAX, REPLAY_MS, LocalGuard


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def test_a_signature_is_a_replay_until_its_time_is_over() -> None:
    clock = Clock()
    guard = LocalGuard(clock)
    assert not guard.is_replay("a")
    clock.ms += REPLAY_MS - 1
    assert guard.is_replay("a")
    clock.ms += 2
    assert not guard.is_replay("a")


def test_a_full_bucket_empties_and_refills_at_its_rate() -> None:
    clock = Clock()
    guard = LocalGuard(clock)
    assert [guard.wait_ms("ada", 10) for _ in range(10)] == [0] * 10
    assert 0 < guard.wait_ms("ada", 10) <= 101
    clock.ms += 100
    assert guard.wait_ms("ada", 10) == 0
    assert guard.wait_ms("ada", 10) > 0
    assert guard.wait_ms("boris", 10) == 0


def test_a_bucket_never_holds_more_than_a_second() -> None:
    clock = Clock()
    guard = LocalGuard(clock)
    guard.wait_ms("ada", 5)
    clock.ms += 60_000
    assert sum(guard.wait_ms("ada", 5) == 0 for _ in range(20)) == 5


def test_buckets_are_bounded() -> None:
    guard = LocalGuard(Clock())
    for number in range(BUCKETS_MAX + 10):
        guard.wait_ms(str(number), 1)
    assert len(guard._buckets) == BUCKETS_MAX
