"""The replay's schedule: what it sends together may land in any order."""

from collections.abc import Sequence
from random import Random

import pytest

from matching.engine.core import Engine
from matching.engine.messages import BUY, GTC, IOC, SELL, STP_NONE, Cancel, Place, Trade
from tests.lab.replay.schedule import Schedule, Step

CONNECTIONS = 8


class Venue:
    """The engine under test, and everything that can be seen of it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.trades: list[tuple[int, int, int, int]] = []

    def apply(self, step: Step) -> None:
        if step.is_cancel:
            self.engine.apply(Cancel(0, 0, 1, step.order_id))
            return
        market = step.price_ticks == 0
        place = Place(
            step.order_id,
            0,
            1,
            step.order_id,
            1,
            step.side,
            step.price_ticks or (1 if step.side == SELL else 1_000),
            step.quantity_lots,
            IOC if market else GTC,
            step.post_only,
            market,
            0,
            STP_NONE,
        )
        for event in self.engine.apply(place):
            if isinstance(event, Trade):
                self.trades.append(
                    (
                        event.maker_order_id,
                        event.taker_order_id,
                        event.price_ticks,
                        event.quantity_lots,
                    )
                )

    def queues(self) -> list[tuple[int, int, list[tuple[int, int]]]]:
        book = self.engine.book(1)
        return [
            (side, key, [(order.order_id, order.left_lots) for order in own.levels[key]])
            for side, (own, _) in enumerate(book.sides)
            for key in own.keys
        ]


def flow(seed: int, length: int = 300) -> list[Step]:
    """Steps on few prices, so that almost everything interferes with something."""
    random = Random(seed)
    steps: list[Step] = []
    for order_id in range(1, length):
        draw = random.random()
        if draw < 0.3 and order_id > 2:
            steps.append(Step(random.randrange(1, order_id), is_cancel=True))
            continue
        side = random.choice((BUY, SELL))
        centre = 10 if side == BUY else 12
        price = 0 if draw > 0.97 else max(1, round(random.gauss(centre, 3)))
        steps.append(
            Step(
                order_id,
                False,
                side,
                price,
                random.randrange(1, 5),
                post_only=price > 0 and draw < 0.7,
            )
        )
    return steps


def landed_in_chance_order(steps: Sequence[Step], seed: int) -> tuple[Venue, int]:
    """Send what the schedule admits; let it land and be answered at random."""
    random = Random(seed)
    schedule, venue = Schedule(), Venue()
    flying: list[Step] = []
    landed: list[Step] = []
    todo = list(reversed(steps))
    overtakings = 0
    while todo or flying or landed:
        moves = []
        if todo and len(flying) + len(landed) < CONNECTIONS and schedule.admits(todo[-1]):
            moves += ["send"] * 3
        moves += ["land"] * bool(flying) + ["answer"] * bool(landed)
        assert moves, "the schedule never gets stuck"
        move = random.choice(moves)
        if move == "send":
            schedule.sent(todo[-1])
            flying.append(todo.pop())
        elif move == "land":
            place = random.randrange(len(flying))
            overtakings += place > 0
            step = flying.pop(place)
            venue.apply(step)
            landed.append(step)
        else:
            schedule.acknowledged(landed.pop(random.randrange(len(landed))))
    return venue, overtakings


@pytest.mark.parametrize("seed", range(60))
def test_any_landing_order_gives_the_trades_and_queues_of_the_flow(seed: int) -> None:
    steps = flow(seed)
    straight = Venue()
    for step in steps:
        straight.apply(step)
    venue, overtakings = landed_in_chance_order(steps, seed)
    assert venue.trades == straight.trades
    assert venue.queues() == straight.queues()
    assert straight.trades, "the flow trades"
    assert overtakings > 10, "commands did overtake each other"


def test_two_orders_of_one_queue_never_fly_together() -> None:
    schedule = Schedule()
    schedule.sent(Step(1, False, BUY, 10, 5))
    assert not schedule.admits(Step(2, False, BUY, 10, 5))
    assert schedule.admits(Step(2, False, BUY, 9, 5))
    schedule.acknowledged(Step(1, False, BUY, 10, 5))
    assert schedule.admits(Step(2, False, BUY, 10, 5))


def test_a_taking_order_goes_alone() -> None:
    schedule = Schedule()
    maker, taker = Step(1, False, SELL, 10, 5), Step(3, False, BUY, 10, 5)
    schedule.sent(maker)
    schedule.acknowledged(maker)
    far = Step(2, False, SELL, 99, 5)
    schedule.sent(far)
    assert not schedule.admits(taker)
    schedule.acknowledged(far)
    assert schedule.admits(taker)
    schedule.sent(taker)
    assert not schedule.admits(Step(4, False, SELL, 98, 5))


def test_a_cancel_waits_for_the_refusals_that_need_its_order() -> None:
    schedule = Schedule()
    ask = Step(1, False, SELL, 10, 5)
    schedule.sent(ask)
    schedule.acknowledged(ask)
    refused = Step(2, False, BUY, 10, 5, post_only=True)
    schedule.sent(refused)
    assert not schedule.admits(Step(1, True))
    schedule.acknowledged(refused)
    assert schedule.admits(Step(1, True))


def test_a_cancel_waits_for_the_answer_to_its_own_order() -> None:
    schedule = Schedule()
    order = Step(1, False, SELL, 10, 5)
    schedule.sent(order)
    assert not schedule.admits(Step(1, True))
    schedule.acknowledged(order)
    assert schedule.admits(Step(1, True))
