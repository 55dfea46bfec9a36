"""Deadlines: one timer for all waits, and each wait that is not over is told once."""

import asyncio
import weakref
from dataclasses import dataclass

import pytest

from exchange.infra.deadlines import Deadlines

pytestmark = pytest.mark.asyncio

SECONDS = 0.02


@dataclass(eq=False)
class Wait:
    name: str
    is_over: bool = False


def deadlines_of(told: list[str], seconds: float = SECONDS) -> Deadlines[Wait]:
    return Deadlines(
        seconds,
        look_every_s=SECONDS / 2,
        is_over=lambda wait: wait.is_over,
        act=lambda wait: told.append(wait.name),
    )


async def looked(told: list[str], count: int) -> None:
    async with asyncio.timeout(30):
        while len(told) < count:
            await asyncio.sleep(SECONDS / 4)


async def test_each_wait_that_is_not_over_in_time_is_told_once_in_order() -> None:
    told: list[str] = []
    deadlines = deadlines_of(told)
    waits = [Wait(str(number)) for number in range(6)]
    for wait in waits:
        deadlines.begin(wait)
    waits[0].is_over = waits[3].is_over = True
    await looked(told, 4)
    last = Wait("last")
    deadlines.begin(last)  # the timer had ended; this begins another one
    await looked(told, 5)
    assert told == ["1", "2", "4", "5", "last"]


async def test_a_thousand_waits_take_one_timer_and_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, timers = asyncio.get_running_loop(), []
    deadlines = deadlines_of([], seconds=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", lambda *given: timers.append(given))
        waits = [Wait(str(number)) for number in range(1_000)]
        for wait in waits:
            deadlines.begin(wait)
            wait.is_over = True
        assert len(timers) == 1
        _, look, of_loop = timers[0]
        look(of_loop)
        assert len(timers) == 1, "nothing is left to look at"
        deadlines.begin(Wait("another"))
        assert len(timers) == 2


async def test_what_is_over_is_let_go_though_an_older_wait_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wait may hold a page of a thousand orders, and an older one may hang for seconds."""
    loop, timers = asyncio.get_running_loop(), []
    deadlines = deadlines_of([], seconds=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", lambda *given: timers.append(given))
        older, younger = Wait("older"), Wait("younger", is_over=True)
        deadlines.begin(older)
        deadlines.begin(younger)
        gone = weakref.ref(younger)
        del younger
        _, look, of_loop = timers[0]
        look(of_loop)
    assert gone() is None
    assert len(timers) == 2, "the older one is looked at again"
