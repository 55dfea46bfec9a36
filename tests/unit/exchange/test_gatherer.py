"""Questions of a loop that a thread answers together."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import gatherer as gatherer_module
from exchange.infra.gatherer import Gatherer
from tests.waiting import HANG_S

QUESTIONS = 40


class Squares:
    """Answers with squares, a refusal for 13, and not before it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.began = threading.Event()
        self.calls: list[tuple[str, Sequence[int]]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.began.set()
        assert self.may_answer.wait(HANG_S)
        self.calls.append((threading.current_thread().name, numbers))
        if 99 in numbers:
            raise ZeroDivisionError
        refused = DomainError(Code.REQUEST_NOT_FOUND)
        return [refused if number == 13 else number * number for number in numbers]


def gatherer_of(squares: Squares) -> tuple[Gatherer[int, int], Gauge]:
    waiting = Gauge("waiting", "Questions", registry=CollectorRegistry())
    return Gatherer(squares, name="squares", waiting=waiting), waiting


def value(gauge: Gauge) -> float:
    return gauge.collect()[0].samples[0].value  # type: ignore[no-any-return]


def asked(gatherer: Gatherer[int, int], squares: Squares, numbers: Sequence[int]) -> list[Any]:
    """Ask the first number, and the others while its answer is awaited."""

    async def run() -> list[Any]:
        first = asyncio.ensure_future(gatherer.ask(numbers[0]))
        while not squares.began.is_set():
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(gatherer.ask(number)) for number in numbers[1:]]
        await asyncio.sleep(0)
        squares.may_answer.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    return asyncio.run(run())


def test_what_waits_is_answered_by_one_call_in_one_thread() -> None:
    squares = Squares()
    gatherer, waiting = gatherer_of(squares)
    answers = asked(gatherer, squares, range(QUESTIONS))
    assert [answer for answer in answers if not isinstance(answer, DomainError)] == [
        number * number for number in range(QUESTIONS) if number != 13
    ]
    assert answers[13].code is Code.REQUEST_NOT_FOUND
    assert [(name, len(numbers)) for name, numbers in squares.calls] == [
        ("squares", 1),
        ("squares", QUESTIONS - 1),
    ]
    assert value(waiting) == 0


def test_a_call_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer_module, "AT_ONCE_MAX", 16)
    squares = Squares()
    asked(gatherer_of(squares)[0], squares, range(QUESTIONS))
    assert [len(numbers) for _, numbers in squares.calls] == [1, 16, 16, QUESTIONS - 33]


def test_what_is_too_much_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer_module, "WAITING_MAX", 5)
    squares = Squares()
    answers = asked(gatherer_of(squares)[0], squares, range(10))
    assert [isinstance(answer, DomainError) for answer in answers] == [False] * 6 + [True] * 4
    assert answers[-1].code is Code.SERVER_BUSY


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer_module, "ANSWER_S", 0.01)
    squares = Squares()
    gatherer, waiting = gatherer_of(squares)
    with pytest.raises(DomainError) as refusal:
        asyncio.run(gatherer.ask(2))
    assert refusal.value.code is Code.SERVER_BUSY
    assert value(waiting) == 0
    squares.may_answer.set()


def test_a_fault_costs_its_questions_and_not_the_thread() -> None:
    squares = Squares()
    gatherer, _ = gatherer_of(squares)
    first, *others = asked(gatherer, squares, [1, 99, 2])
    assert first == 1
    assert [type(error) for error in others] == [ZeroDivisionError] * 2
    assert asked(gatherer, squares, [3]) == [9]


def test_off_a_loop_the_question_is_answered_where_it_is_asked() -> None:
    squares = Squares()
    squares.may_answer.set()
    gatherer, _ = gatherer_of(squares)
    with pytest.raises(StopIteration) as end:
        gatherer.ask(4).send(None)
    assert end.value.value == 16
    assert squares.calls == [(threading.current_thread().name, [4])]
