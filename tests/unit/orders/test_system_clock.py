"""The worker's clock: steady, never backwards, right again after the machine stood still."""

from exchange.infra.system_clock import JUMP_NS, JUMP_STANDS_NS, SystemClock

SECOND_NS = 1_000_000_000
START_NS = 1_800_000_000 * SECOND_NS


class Clocks:
    """A wall clock and a steady one that move as told."""

    def __init__(self) -> None:
        self.wall, self.steady = START_NS, 5 * SECOND_NS
        self.clock = SystemClock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, duration_ns: int, steps: int = 10) -> list[int]:
        """Let time go by on both; return what the clock said at each step."""
        told = []
        for _ in range(steps):
            self.wall += duration_ns // steps
            self.steady += duration_ns // steps
            told.append(self.clock.now_ms())
        return told

    @property
    def behind_ns(self) -> int:
        return self.wall - self.clock.now_ms() * 1_000_000


def test_time_goes_by_the_steady_clock() -> None:
    clocks = Clocks()
    assert clocks.pass_by(10 * SECOND_NS)[-1] == START_NS // 1_000_000 + 10_000


def test_a_wall_clock_that_jumps_for_a_moment_is_not_followed() -> None:
    clocks = Clocks()
    clocks.wall += 3_600 * SECOND_NS
    clocks.pass_by(JUMP_STANDS_NS // 2)
    clocks.wall -= 3_600 * SECOND_NS
    clocks.pass_by(2 * JUMP_STANDS_NS)
    assert clocks.behind_ns == 0


def test_after_a_machine_that_stood_still_the_time_is_right_again() -> None:
    """Both clocks of the machine stood, and the wall clock was set when it went on."""
    clocks = Clocks()
    clocks.wall += 600 * SECOND_NS
    told = clocks.pass_by(2 * JUMP_STANDS_NS)
    assert clocks.behind_ns == 0
    assert told == sorted(told)


def test_it_never_goes_backwards() -> None:
    clocks = Clocks()
    before = clocks.clock.now_ms()
    clocks.wall -= 3_600 * SECOND_NS
    told = clocks.pass_by(4 * JUMP_STANDS_NS, steps=40)
    assert [before, *told] == sorted([before, *told])
    assert clocks.behind_ns == -3_600 * SECOND_NS


def test_what_is_less_than_a_jump_stays() -> None:
    clocks = Clocks()
    clocks.wall += JUMP_NS - 1
    clocks.pass_by(4 * JUMP_STANDS_NS)
    assert 0 < clocks.behind_ns < JUMP_NS
