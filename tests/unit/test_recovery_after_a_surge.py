"""The time from the end of a surge until latency is normal again."""

import math

import pytest

from tests.lab.bench.load_generator import Phase, Window
from tests.lab.bench.scenarios import recovery_seconds

PHASES = [Phase(3.0, 10.0), Phase(2.0, 30.0), Phase(4.0, 10.0)]
BEFORE = [(900.0, 0), (10.0, 0), (12.0, 0)]  # p99 and refusals; the first second starts cold
SURGE = [(500.0, 20), (700.0, 20)]


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ([(12.0, 0), (21.0, 0), (12.0, 0), (12.0, 0)], 0.0),
        ([(90.0, 0), (12.0, 0), (12.0, 0), (12.0, 0)], 1.0),
        ([(12.0, 0), (12.0, 5), (12.0, 0), (12.0, 0)], 2.0),
        ([(90.0, 0), (90.0, 0), (90.0, 0), (90.0, 0)], math.inf),
        ([], math.inf),
    ],
    ids=["at once", "slow for a second", "a refusal later", "slow to the end", "no answer"],
)
def test_recovery_ends_with_the_last_second_that_is_not_normal(
    after: list[tuple[float, int]], seconds: float
) -> None:
    windows = [
        Window(float(at), 10, refused, 1.0, 2.0, p99)
        for at, (p99, refused) in enumerate([*BEFORE, *SURGE, *after])
    ]
    assert recovery_seconds(PHASES, windows) == seconds
